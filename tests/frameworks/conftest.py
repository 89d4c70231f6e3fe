"""Servers for the frameworks, and clients as their users have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.conftest import StartServer
from tests.support.server import PATIENCE, Server

#: Serves an application of `apps`, on the loop and driver of the test: `app` of the module that is
#: named, or another one (`module:name`).
Serve = Callable[[str], Server]


@pytest.fixture
def serve(shared_server: StartServer, everywhere: dict[str, str]) -> Serve:
    def start(name: str) -> Server:
        module, _, app = name.partition(":")
        return shared_server(f"tests.frameworks.apps.{module}:{app or 'app'}", **everywhere)

    return start


@pytest.fixture
def browse() -> Iterator[Callable[[Server], httpx.Client]]:
    """Make clients that keep their connections, as browsers do."""
    clients: list[httpx.Client] = []

    def connect(server: Server) -> httpx.Client:
        clients.append(httpx.Client(base_url=server.url, timeout=PATIENCE, trust_env=False))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
