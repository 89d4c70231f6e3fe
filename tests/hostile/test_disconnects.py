"""Clients that leave: at each moment, in both ways, and in crowds.

B44 a client that ends its side is answered, B45 one that is gone is forgotten: the application is
told once, the descriptor is free again, the log has nothing to say about it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.conftest import DRIVERS, LOOPS
from tests.hostile.test_floods import wait_until
from tests.support.client import Client, CutError, request
from tests.support.server import Server

Leave = Callable[[Client], None]

LEAVING = pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["fin", "rst"])


@pytest.fixture(params=[(loop, driver) for loop in LOOPS for driver in DRIVERS], ids="-".join)
def left(request: pytest.FixtureRequest, shared_server: Callable[..., Server]) -> Server:
    """A server whose clients leave."""
    loop, driver = request.param
    return shared_server("tests.apps.hostile:app", loop=loop, driver=driver, access_log=False)


def test_a_client_that_ends_its_side_is_answered(left: Server) -> None:
    with left.connect() as client:
        client.request("GET", "/")
        client.shutdown()
        assert client.response().text == "hello"
        assert client.closed()


def test_so_are_all_its_pipelined_requests(left: Server) -> None:
    with left.connect() as client:
        client.send(b"".join(request("GET", f"/number?{number}") for number in range(50)))
        client.shutdown()
        for number in range(50):
            assert client.response().text.startswith(f"{number} ")
        assert client.closed()


def test_waiting_for_a_half_closed_client_is_no_work(left: Server) -> None:
    waiting = len(left.notes("waits", 0))
    with left.connect() as client:
        client.request("GET", "/waits")
        client.shutdown()
        left.notes("waits", waiting + 1)
        before = left.cpu()
        time.sleep(1)
        assert left.cpu() - before < 0.5
        assert left.get("/pass/answer").status == 200
        assert client.response().text == "waited"
        assert client.closed()


@LEAVING
def test_the_application_hears_that_the_client_left(left: Server, leave: Leave) -> None:
    gone = len(left.notes("gone", 0))
    arrived = len(left.notes("arrived", 0))
    client = left.connect()
    client.request("GET", "/until_gone")
    left.notes("arrived", arrived + 1)
    leave(client)
    assert left.notes("gone", gone + 1)[-1] == ["http.request", "http.disconnect"]


@LEAVING
def test_the_application_hears_that_the_client_left_within_a_body(
    left: Server, leave: Leave
) -> None:
    gone = len(left.notes("gone", 0))
    arrived = len(left.notes("arrived", 0))
    client = left.connect()
    client.send(b"POST /until_gone HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n01234")
    left.notes("arrived", arrived + 1)
    leave(client)
    kinds = left.notes("gone", gone + 1)[-1]
    assert kinds[-1] == "http.disconnect"
    assert kinds.count("http.disconnect") == 1


@LEAVING
def test_the_application_hears_that_the_client_left_within_a_response(
    left: Server, leave: Leave
) -> None:
    ended = len(left.notes("stream-ended", 0))
    client = left.connect()
    client.request("GET", "/stream")
    client.exactly(1 << 20)
    leave(client)
    assert left.notes("stream-ended", ended + 1)[-1] > 0


@LEAVING
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nhost: a\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n01234",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01",
        b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n01234",
        b"POST /count HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n",
        b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /until_gone HTTP/1.1\r\nhost: a\r\n\r\n",
        b"no request\r\n\r\n",
        b"GET /number HTTP/1.1\r\nhost: a\r\n\r\n" * 200,
    ],
    ids=[
        "nothing",
        "a byte",
        "half a head",
        "a request",
        "one and a half",
        "half a body",
        "half a chunk",
        "an unread body",
        "an expectation",
        "a stream",
        "a wait",
        "nonsense",
        "a pipeline",
    ],
)
def test_a_storm_of_leavers_leaves_nothing(left: Server, leave: Leave, said: bytes) -> None:
    """Of two hundred clients that leave at the same point, nothing is left but the next answer."""
    left.get()
    wait_until(lambda: _settled(left))
    descriptors = left.descriptors()
    lines = len(left.log)
    clients = [left.connect() for _ in range(200)]
    for client in clients:
        client.send(said)
    for client in clients:
        leave(client)
    wait_until(lambda: left.descriptors() <= descriptors)
    assert left.get().text == "hello"
    written = [
        line
        for line in left.log[lines:]
        # An application that reads a body to its end fails when the client leaves: that is its own.
        if said[:4] != b"POST" and b"no request" not in said
    ]
    assert not written


def _settled(server: Server) -> bool:
    """Whether no connection of an earlier test is still on its way out."""
    before = server.descriptors()
    time.sleep(0.02)
    return server.descriptors() == before


def test_leavers_do_not_disturb_those_who_stay(left: Server) -> None:
    """Before each request of one client, others ask for much and leave."""
    with left.connect() as client:
        for number in range(200):
            for _ in range(3):
                leaver = left.connect()
                leaver.request("GET", "/stream")
                leaver.reset()
            assert client.get(f"/number?{number}").text.startswith(f"{number} ")


def test_a_truncated_body_is_no_request(left: Server) -> None:
    """B38: what was cut is not answered as if it were whole."""
    with left.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send(b"5\r\nhello\r\n0\r\n")
        client.shutdown()
        try:
            assert client.response().status >= 400
        except CutError as cut:
            assert cut.data == b""  # noqa: PT017
