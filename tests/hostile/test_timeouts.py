"""Peers that are slow on purpose: each wait for a peer has an end, and none of them is the peer's.

B62 slow head, B63 slow body, B64 slow reader, B65 silence. The limits are fractions of a second
here; a test waits until the server has had enough, however long that takes on a busy machine, and
fails if it never has. What the application takes is its own time, and never the peer's fault.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from tests.conftest import DRIVERS
from tests.hostile.test_floods import wait_until
from tests.support.client import Client, CutError
from tests.support.server import PATIENCE, Server

LIMITS = {
    "timeout_request_head": 0.4,
    "timeout_request_body": 0.4,
    "timeout_write": 0.4,
}


@pytest.fixture(params=DRIVERS)
def hasty(request: pytest.FixtureRequest, shared_server: Callable[..., Server]) -> Server:
    """A server that waits less than half a second for a peer."""
    return shared_server("tests.apps.hostile:app", driver=request.param, **LIMITS)


def refused_or_closed(client: Client) -> bool:
    """Read what ends the wait: 408 and the end, or only the end."""
    try:
        response = client.response()
    except CutError as cut:
        assert cut.data == b""  # noqa: PT017
        return True
    assert response.status == 408
    assert response["connection"] == "close"
    return client.closed()


def drip(client: Client, data: bytes) -> Iterator[None]:
    """Send a byte now and then until the server ends the connection or answers."""
    client.sock.setblocking(False)
    deadline = time.monotonic() + PATIENCE
    for byte in data:
        assert time.monotonic() < deadline, "the server waits for ever"
        try:
            client.send(bytes([byte]))
            if client.sock.recv(1, socket.MSG_PEEK) is not None:
                break
        except BlockingIOError:
            pass
        except ConnectionError:
            break
        yield
        time.sleep(0.05)
    client.sock.settimeout(PATIENCE)


def test_a_connection_that_never_says_anything_ends(hasty: Server) -> None:
    with hasty.connect() as client:
        assert refused_or_closed(client)


@pytest.mark.parametrize("head", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n"])
def test_a_head_that_stops_is_408(hasty: Server, head: bytes) -> None:
    with hasty.connect() as client:
        port = client.sock.getsockname()[1]
        client.send(head)
        assert client.response().status == 408
        assert client.closed()
    hasty.wait_for(f"Request timed out: the request head took too long.*:{port}\\b")


def test_a_head_that_trickles_in_does_not_earn_more_time(hasty: Server) -> None:
    with hasty.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nx: ")
        bytes_sent = sum(1 for _ in drip(client, b"a" * 10_000))
        assert bytes_sent < 10_000
        assert refused_or_closed(client)


def test_a_second_head_that_trickles_in_does_not_either(hasty: Server) -> None:
    with hasty.connect() as client:
        assert client.get().status == 200
        client.send(b"GET / HTTP/1.1\r\nx: ")
        bytes_sent = sum(1 for _ in drip(client, b"a" * 10_000))
        assert bytes_sent < 10_000
        assert refused_or_closed(client)


def test_empty_lines_do_not_earn_more_time(hasty: Server) -> None:
    with hasty.connect() as client:
        client.send(b"\r\n")
        assert refused_or_closed(client)


@pytest.mark.parametrize(
    "start",
    [
        b"content-length: 5\r\n\r\n",
        b"content-length: 5\r\n\r\nhel",
        b"transfer-encoding: chunked\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n5",
        b"transfer-encoding: chunked\r\n\r\n5\r\nhel",
        b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n",
    ],
)
def test_a_body_that_stops_is_408(hasty: Server, start: bytes) -> None:
    with hasty.connect() as client:
        port = client.sock.getsockname()[1]
        client.send(b"POST /echo HTTP/1.1\r\nhost: a\r\n" + start)
        assert client.response().status == 408
        assert client.closed()
    hasty.wait_for(f"Request timed out: the request body took too long.*:{port}\\b")


def test_the_application_hears_of_a_body_that_stops(hasty: Server) -> None:
    before = len(hasty.notes("gone", 0))
    with hasty.connect() as client:
        client.send(b"POST /until_gone HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhel")
        assert client.response().status == 408
    kinds = hasty.notes("gone", before + 1)[-1]
    assert kinds[-1] == "http.disconnect"
    assert kinds.count("http.disconnect") == 1


def test_a_body_that_moves_may_take_longer(shared_server: Callable[..., Server]) -> None:
    """Each byte comes well within the limit, all of them together take longer than it."""
    server = shared_server("tests.apps.hostile:app", timeout_request_body=2, timeout_request_head=2)
    with server.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 26\r\n\r\n")
        for byte in range(26):
            time.sleep(0.1)
            client.send(b"%c" % (ord("a") + byte))
        assert client.response().body == b"abcdefghijklmnopqrstuvwxyz"


def test_an_application_may_take_longer(hasty: Server) -> None:
    before = len(hasty.notes("waits", 0))
    with hasty.connect() as client:
        client.request("POST", "/waits", body=b"a body nobody reads")
        hasty.notes("waits", before + 1)
        time.sleep(3 * LIMITS["timeout_request_body"])
        assert hasty.get("/pass/answer").status == 200
        assert client.response().text == "waited"


def test_an_application_may_take_longer_over_an_unread_body(hasty: Server) -> None:
    """More of the body is on its way than is read ahead: nobody waits for the peer then."""
    before = len(hasty.notes("waits", 0))
    with hasty.connect() as client:
        client.send(b"POST /waits HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n")
        client.send(bytes(150_000))
        hasty.notes("waits", before + 1)
        time.sleep(3 * LIMITS["timeout_request_body"])
        assert hasty.get("/pass/answer").status == 200
        assert client.response().text == "waited"


def test_a_peer_that_reads_nothing_is_cut(hasty: Server) -> None:
    before = len(hasty.notes("stream-ended", 0))
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    with Client(sock) as client:
        sock.connect((hasty.host, hasty.port))
        client.request("GET", "/stream")
        hasty.notes("stream-ended", before + 1)
        with pytest.raises(CutError):
            client.response()


def test_a_peer_that_reads_nothing_keeps_nothing(hasty: Server) -> None:
    """Whatever it left unread, and wherever that waits: its connection is closed."""
    hasty.get("/")
    before = hasty.descriptors()
    clients = []
    for size in (100_000, 4_000_000, 20_000_000):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((hasty.host, hasty.port))
        clients.append(Client(sock))
        clients[-1].request("GET", f"/zeros?{size}")
    wait_until(lambda: hasty.descriptors() <= before)
    for client in clients:
        client.close()


def test_time_before_100_continue_is_the_applications(hasty: Server) -> None:
    """Who was not asked for the body does not owe it."""
    before = len(hasty.notes("expects", 0))
    with hasty.connect() as client:
        client.send(b"POST /expects HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n")
        client.send(b"expect: 100-continue\r\n\r\n")
        hasty.notes("expects", before + 1)
        time.sleep(3 * LIMITS["timeout_request_body"])
        assert hasty.get("/pass/ask").status == 200
        assert client.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert client.response().body == b"hello"


def test_a_peer_that_reads_slowly_is_served(shared_server: Callable[..., Server]) -> None:
    """It takes something within each limit, and longer than the limit for the whole."""
    server = shared_server("tests.apps.hostile:app", timeout_write=2)
    body = bytes(range(256)) * 16_384
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    sock.settimeout(PATIENCE)
    with Client(sock) as client:
        sock.connect((server.host, server.port))
        client.request("POST", "/echo", body=body)
        response = client.head()
        received = bytearray()
        while len(received) < len(body):
            if len(received) < 25 * 65_536:
                time.sleep(0.1)
            received += client.exactly(min(65_536, len(body) - len(received)))
        assert response["content-length"] == str(len(body))
        assert received == body


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_idle_connection_ends(server: Callable[..., Server], driver: str) -> None:
    fresh = server("tests.apps.hostile:app", driver=driver, timeout_keep_alive=1)
    with fresh.connect() as client:
        assert client.get().status == 200
        assert client.get().status == 200
        assert client.closed()
    fresh.stop()
    assert not fresh.lines("timed out")


@pytest.mark.parametrize("driver", DRIVERS)
def test_without_limits_nobody_is_cut(shared_server: Callable[..., Server], driver: str) -> None:
    """0 switches a limit off; the pause is longer than any limit of this module."""
    off = dict.fromkeys(LIMITS, 0)
    server = shared_server("tests.apps.hostile:app", driver=driver, timeout_keep_alive=0, **off)
    with server.connect() as silent, server.connect() as head, server.connect() as body:
        head.send(b"GET / HTTP/1.1\r\n")
        body.send(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhel")
        time.sleep(1.5)
        assert silent.get().status == 200
        head.send(b"host: a\r\n\r\n")
        assert head.response().status == 200
        body.send(b"lo")
        assert body.response().body == b"hello"
