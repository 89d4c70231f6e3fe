"""Servers for WSGI applications, in both ways to drive the threads that run them.

What `served` and `fresh` serve has the standard library's validator around it (see
`tests/apps/wsgi.py`): a complaint of its fails the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.server import Server

COMPLAINTS = r"AssertionError|WSGIWarning|garbage collected without being closed"

#: Serves an application by its import string, once for all tests that ask for it.
Serve = Callable[..., Server]


@pytest.fixture(params=["auto", "reactor"], ids=["threads", "loop"])
def driver(request: pytest.FixtureRequest) -> str:
    """Who sees to the sockets: the threads themselves, or the loop, which calls them."""
    return str(request.param)


@pytest.fixture
def served(shared_server: StartServer, driver: str) -> Iterator[Serve]:
    asked: dict[int, tuple[Server, int]] = {}

    def start(app: str, **options: Any) -> Server:
        server = shared_server(app, **{"driver": driver, **options})
        asked.setdefault(server.pid, (server, len(server.lines(COMPLAINTS))))
        return server

    yield start
    for server, before in asked.values():
        assert len(server.lines(COMPLAINTS)) == before, "\n".join(server.log)


@pytest.fixture
def fresh(server: StartServer, driver: str) -> Iterator[Serve]:
    """Like `served`, for a test whose traces others would see."""
    started: list[Server] = []

    def start(app: str, **options: Any) -> Server:
        started.append(server(app, **{"driver": driver, **options}))
        return started[-1]

    yield start
    for each in started:
        assert not each.lines(COMPLAINTS), "\n".join(each.log)
