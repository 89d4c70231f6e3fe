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

# What a client has said when it leaves.
SAID = {
    "nothing": b"",
    "a byte": b"G",
    "half a head": b"GET / HTTP/1.1\r\nhost: a\r\n",
    "a request": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "one and a half": b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET",
    "half a body": b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n01234",
    "half a chunk": b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01",
    "an unread body": b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n01234",
    "an expectation": (
        b"POST /count HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
    ),
    "a stream": b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n",
    "a wait": b"GET /until_gone HTTP/1.1\r\nhost: a\r\n\r\n",
    "nonsense": b"no request\r\n\r\n",
    "a pipeline": b"GET /number HTTP/1.1\r\nhost: a\r\n\r\n" * 200,
}

# An application that reads a body to its end fails when the client leaves, and says so; a refusal
# is a line. Of the others there is nothing to say.
QUIET = [said for said in SAID.values() if said[:4] != b"POST" and b"no request" not in said]


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
@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_a_storm_of_leavers_leaves_nothing(left: Server, leave: Leave, said: bytes) -> None:
    """Of two hundred clients that leave at the same point, nothing is left but the next answer."""
    left.get()
    wait_until(lambda: _settled(left))
    descriptors = left.descriptors()
    storm(left, leave, said, 200)
    wait_until(lambda: left.descriptors() <= descriptors)
    assert left.get().text == "hello"


def storm(server: Server, leave: Leave, said: bytes, count: int) -> None:
    clients = [server.connect() for _ in range(count)]
    for client in clients:
        client.send(said)
    for client in clients:
        leave(client)


def test_the_log_has_nothing_to_say_about_leavers(
    server: Callable[..., Server], everywhere: dict[str, str]
) -> None:
    fresh = server("tests.apps.hostile:app", access_log=False, **everywhere)
    for said in QUIET:
        storm(fresh, Client.close, said, 20)
        storm(fresh, Client.reset, said, 20)
    fresh.get()
    fresh.stop()
    assert not [line for line in fresh.log if not line.startswith("INFO: ")]


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
