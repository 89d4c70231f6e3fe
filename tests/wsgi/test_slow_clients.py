"""Two hundred clients that are slow, and good ones that notice nothing of them.

Half of the slow ones send a body octet by octet, the others ask for more than the kernel keeps for
them, and take little of it, or nothing. `benchmarks/slow.py` measures how long the good ones wait;
here is seen that they are served while all the others are under way.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.support.client import Client
from tests.support.server import Server
from tests.wsgi.conftest import Serve
from tests.wsgi.test_threads import SIZE, slow_reader

APP = "tests.apps.wsgi_threads:app"
ROUNDS = 10
EACH = 50

HEAD = b"POST /length HTTP/1.1\r\nhost: a\r\n"

# Goes on a little with each step, and ends with the right answer.
Slow = Iterator[None]


def sends_with_length(client: Client) -> Slow:
    client.send(HEAD + b"content-length: %d\r\n\r\n" % (ROUNDS + 1))
    for _ in range(ROUNDS):
        client.send(b"x")
        yield
    client.send(b"x")
    assert client.response().text == str(ROUNDS + 1)


def sends_in_chunks(client: Client) -> Slow:
    client.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(ROUNDS):
        client.chunk(b"x")
        yield
    client.chunk(b"")
    assert client.response().text == str(ROUNDS)


def takes_a_little(client: Client) -> Slow:
    client.request("GET", "/large")
    response = client.head()
    taken = b""
    for _ in range(ROUNDS):
        taken += client.exactly(1000)
        yield
    size = int(response["content-length"])
    assert taken + client.exactly(size - len(taken)) == bytes(SIZE)


def takes_nothing(client: Client) -> Slow:
    client.request("GET", "/large_in_portions")
    for _ in range(ROUNDS):
        yield
    assert client.response().body == bytes(SIZE)


KINDS: list[Callable[[Client], Slow]] = [
    sends_with_length,
    sends_in_chunks,
    takes_a_little,
    takes_nothing,
]


def behaves_well(server: Server) -> None:
    """Ask for many things on a connection, and get all of them."""
    with server.connect() as client:
        for _ in range(20):
            assert client.get("/").text == "ok"
            assert client.post("/length", bytes(10_000)).text == "10000"


def test_slow_clients_harm_nobody(fresh: Serve) -> None:
    server = fresh(APP, threads=4)
    with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        clients = [stack.enter_context(slow_reader(server)) for _ in range(EACH * len(KINDS))]
        slow = [kind(client) for kind, client in zip(KINDS * EACH, clients, strict=True)]
        for _ in range(ROUNDS):
            for each in slow:
                next(each)
            # All of them are in the middle of something.
            for good in [threads.submit(behaves_well, server) for _ in range(8)]:
                good.result()
            assert server.get("/large").body == bytes(SIZE)
        for client in clients:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for each in reversed(slow):
            assert list(each) == []
    # The application answered each of them.
    assert not server.lines('" 5|Traceback')
