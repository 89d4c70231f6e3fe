"""After a hundred thousand requests of each sort, nothing is left of them.

The application itself reports what a leak would make grow: objects that the collector knows, blocks
of Python's allocator (which sees leaked bytes and strings too), bytes of the C heap (which sees the
native side), references to constants, tasks and descriptors. Caches may fill while it warms up;
from then on none grows by as much as one thing for two requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.client import Client, request
from tests.support.server import PATIENCE, Server

Load = Callable[[Server, int], None]


def pipelined(*requests: bytes, depth: int = 64) -> Load:
    """Send the requests in groups over one connection, and read the answers."""

    def load(server: Server, count: int) -> None:
        with server.connect() as client:
            while count > 0:
                group = [requests[number % len(requests)] for number in range(min(depth, count))]
                client.send(b"".join(group))
                for _ in group:
                    assert client.response().status == 200
                count -= len(group)

    return load


def alone(data: bytes, status: int) -> Load:
    """Send each request on a connection that ends with its answer."""

    def load(server: Server, count: int) -> None:
        for _ in range(count):
            with server.connect() as client:
                client.send(data)
                assert client.response().status == status
                client.closed()

    return load


def leaving(data: bytes, leave: Callable[[Client], None], received: int = 0) -> Load:
    """Leave each connection after the request, in the middle of what it does."""

    def load(server: Server, count: int) -> None:
        for _ in range(count):
            client = server.connect()
            client.send(data)
            client.exactly(received)
            leave(client)

    return load


#: What grows once has found its size; what leaks grows each time.
REPEATS = 4

CLOSE = ("connection", "close")
CHUNKED = (
    b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nt: u\r\n\r\n"
)

# Each sort of load, and how many requests of it.
LOADS: dict[str, tuple[Load, int]] = {
    "hello": (pipelined(request("GET", "/?a=b", ("x-header", "value"))), 20_000),
    "unknown headers": (
        pipelined(*(request("GET", f"/?{n}", (f"x-{n}", "v" * n)) for n in range(64))),
        10_000,
    ),
    "bodies": (pipelined(request("POST", "/echo", body=b"b" * 3000), CHUNKED), 10_000),
    "large bodies": (pipelined(request("POST", "/echo", body=bytes(200_000)), depth=1), 1_000),
    "unread bodies": (pipelined(request("POST", "/early", body=b"b" * 3000)), 10_000),
    "streams": (pipelined(request("GET", "/chunks")), 10_000),
    "cancelled waits": (pipelined(request("GET", "/cancels")), 10_000),
    "closing": (alone(request("GET", "/", CLOSE), 200), 4_000),
    "refused": (alone(b"GET / HTTP/1.1\r\n\r\n", 400), 4_000),
    "failing": (alone(request("GET", "/fails", CLOSE), 500), 1_000),
    "cancelled": (alone(request("GET", "/cancelled", CLOSE), 500), 1_000),
    "left waiting": (leaving(request("GET", "/until_gone"), Client.close), 3_000),
    "reset waiting": (leaving(request("GET", "/until_gone"), Client.reset), 3_000),
    "left sending": (
        leaving(
            request("POST", "/until_gone", ("content-length", "99999")) + bytes(5000), Client.reset
        ),
        2_000,
    ),
    "left receiving": (leaving(request("GET", "/zeros?9999999"), Client.reset, 100_000), 1_000),
    "left in a head": (leaving(b"GET / HTTP/1.1\r\nx: " + b"y" * 5000, Client.reset), 3_000),
}


@pytest.fixture(scope="module")
def lasting(shared_server: Callable[..., Server]) -> Callable[..., Server]:
    """The server of each loop with each driver, without an access log to write."""

    def start(everywhere: dict[str, str]) -> Server:
        return shared_server("tests.apps.lasting:app", access_log=False, **everywhere)

    return start


@pytest.mark.slow
@pytest.mark.parametrize("name", LOADS)
def test_nothing_is_left(
    lasting: Callable[..., Server], everywhere: dict[str, str], name: str
) -> None:
    server = lasting(everywhere)
    load, count = LOADS[name]
    load(server, count // 2)
    before = settled(server)
    for _ in range(REPEATS):
        load(server, count)
        wait_until_like(server, before)
        after = settled(server)
        grown = {key: after[key] - before[key] for key in after}
        if not leaks(grown, count):
            return
        before = after
    raise AssertionError(grown)


def leaks(grown: dict[str, int], count: int) -> bool:
    """Say whether so many requests left something behind."""
    references = (key for key in grown if key.endswith("references"))
    return (
        grown["tasks"] > 0
        or grown["descriptors"] > 0
        or any(grown[key] >= count / 2 for key in ("objects", "blocks", *references))
        or grown["heap"] >= max(count * 8, 128 * 1024)
    )


def settled(server: Server) -> dict[str, Any]:
    """Return the figures when two in a row are alike in what may still be on its way out."""
    deadline = time.monotonic() + PATIENCE
    last = server.get("/figures").json()
    while True:
        now = server.get("/figures").json()
        if all(now[key] == last[key] for key in ("tasks", "descriptors")):
            return dict(now)
        last = now
        assert time.monotonic() < deadline


def wait_until_like(server: Server, before: dict[str, Any]) -> None:
    """Wait until clients that left are forgotten, or it is plain that they never will be."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        now = server.get("/figures").json()
        if now["tasks"] <= before["tasks"] and now["descriptors"] <= before["descriptors"]:
            return
        time.sleep(0.05)
