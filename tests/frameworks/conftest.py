"""Servers for the frameworks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.conftest import StartServer
from tests.support.server import Server

#: Serves an application of `apps`, on the loop and driver of the test: `app` of the module that is
#: named, or another one (`module:name`).
Serve = Callable[[str], Server]


@pytest.fixture
def serve(shared_server: StartServer, everywhere: dict[str, str]) -> Serve:
    def start(name: str) -> Server:
        module, _, app = name.partition(":")
        return shared_server(f"tests.frameworks.apps.{module}:{app or 'app'}", **everywhere)

    return start
