"""Peers that abuse the PROXY protocol (B61): closed without a word, in time, and logged.

What a good header makes of a connection is tested in `tests/asgi`. Here is who must not send one,
what is none, and what would be left waiting.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable

import pytest
from tests.conftest import DRIVERS
from tests.hostile.test_floods import wait_until
from tests.support.client import request
from tests.support.proxying import (
    BLOCK,
    LINE,
    LOCAL,
    PROXY,
    SIGNATURE,
    STREAM,
    TCP4,
    TCP6,
    UDP4,
    binary,
)
from tests.support.server import PATIENCE, PRODUCT, Server

pytestmark = pytest.mark.skipif(PRODUCT != "ferricorn", reason="the option is ferricorn's")

APP = "tests.apps.hostile:app"


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def behind(shared_server: Callable[..., Server], driver: str) -> Server:
    return shared_server(APP, driver=driver, proxy_protocol=True)


def line(text: str) -> bytes:
    return f"PROXY {text}\r\n".encode("latin-1")


MALFORMED = {
    "request": (request("GET", "/"), "does not begin with"),
    "one wrong octet": (b"G", "does not begin with"),
    "lower case": (LINE.lower(), "does not begin with"),
    "empty line": (b"\r\n" + LINE, "does not begin with"),
    "tls": (b"\x16\x03\x01\x02\x00\x01", "does not begin with"),
    "wrong signature": (SIGNATURE[:-1] + b"\r", "does not begin with"),
    "bare lf": (LINE.replace(b"\r", b""), "line is malformed"),
    "bare cr": (LINE.replace(b"\n", b"x"), "line is malformed"),
    "two spaces": (line("TCP4  1.2.3.4 5.6.7.8 1 2"), "line is malformed"),
    "too few": (line("TCP4 1.2.3.4 5.6.7.8 1"), "line is malformed"),
    "too many": (line("TCP4 1.2.3.4 5.6.7.8 1 2 3"), "line is malformed"),
    "udp line": (line("UDP4 1.2.3.4 5.6.7.8 1 2"), "line is malformed"),
    "no address": (line("TCP4 host 5.6.7.8 1 2"), "address or a port .* is invalid"),
    "octal address": (line("TCP4 010.2.3.4 5.6.7.8 1 2"), "address or a port .* is invalid"),
    "other family": (line("TCP4 ::1 ::1 1 2"), "address or a port .* is invalid"),
    "escape": (line("TCP4 1.2.3.4 \x1b[31m 1 2"), "address or a port .* is invalid"),
    "octal port": (line("TCP4 1.2.3.4 5.6.7.8 01 2"), "address or a port .* is invalid"),
    "signed port": (line("TCP4 1.2.3.4 5.6.7.8 +1 2"), "address or a port .* is invalid"),
    "large port": (line("TCP4 1.2.3.4 5.6.7.8 1 65536"), "address or a port .* is invalid"),
    "long line": (b"PROXY UNKNOWN " + b"x" * 93, "header is too long"),
    "version": (binary(BLOCK, command=0x11), "version or the command"),
    "command": (binary(BLOCK, command=0x22), "version or the command"),
    "udp": (binary(BLOCK, family=UDP4), "no TCP connection"),
    "no family": (binary(BLOCK, family=0x51), "no TCP connection"),
    "short block": (binary(BLOCK[:-1], family=TCP4), "too short for its addresses"),
    "short for ipv6": (binary(BLOCK, family=TCP6), "too short for its addresses"),
    "short for unix": (binary(bytes(215), family=STREAM), "too short for its addresses"),
    "long block": (SIGNATURE + bytes([PROXY, TCP4, 0xFF, 0xFF]), "header is too long"),
    "long local": (SIGNATURE + bytes([LOCAL, 0, 0x10, 0x01]), "header is too long"),
    "extension": (binary(BLOCK + b"\x04\0\x02x"), "do not fill its length"),
    "checksum": (binary(BLOCK + b"\x03\0\x04\0\0\0\0"), "checksum .* is wrong"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_header_is_closed_without_an_answer(behind: Server, name: str) -> None:
    data, _ = MALFORMED[name]
    with behind.connect() as client:
        client.send(data)
        assert client.closed()
    with behind.connect() as client:
        client.send(data + request("GET", "/number?smuggled"))
        assert client.closed()
    with behind.connect() as client:
        client.send(LINE + request("GET", f"/number?after-{name.replace(' ', '-')}"))
        assert client.response().status == 200
    behind.wait_for(f"after-{name.replace(' ', '-')}")
    assert not behind.lines("smuggled")


@pytest.mark.parametrize("name", MALFORMED)
def test_however_it_is_cut(behind: Server, name: str) -> None:
    data, _ = MALFORMED[name]
    with behind.connect() as client:
        with contextlib.suppress(ConnectionError):
            for octet in data:
                client.send(bytes([octet]))
        assert client.closed()


def test_each_reason_has_a_line_in_the_log(server: Callable[..., Server], driver: str) -> None:
    here = server(APP, driver=driver, proxy_protocol=True)
    one_each = {reason: data for data, reason in MALFORMED.values()}
    for reason, data in one_each.items():
        with here.connect() as client:
            port = client.sock.getsockname()[1]
            client.send(data)
            assert client.closed()
        here.wait_for(
            rf"^WARNING:  Connection refused\. .*{reason}.* \(from 127\.0\.0\.1:{port}\)$"
        )
    assert len(here.lines("Connection refused")) == len(one_each)
    assert not [each for each in here.log if not each.isprintable()]


@pytest.mark.parametrize("allowed", ["10.0.0.0/8", "unix", "::1", ""])
def test_a_peer_that_is_not_allowed_is_not_heard(
    shared_server: Callable[..., Server], driver: str, allowed: str
) -> None:
    here = shared_server(APP, driver=driver, proxy_protocol=True, proxy_allow_ips=allowed)
    for data in (LINE + request("GET", "/"), request("GET", "/"), b""):
        with here.connect() as client:
            port = client.sock.getsockname()[1]
            with contextlib.suppress(ConnectionError):
                client.send(data)
            assert client.closed()
        here.wait_for(
            rf"^WARNING:  Connection refused\. the peer may not .* \(from 127\.0\.0\.1:{port}\)$"
        )


def test_unix_peers_are_to_be_allowed_too(
    server: Callable[..., Server], driver: str, tmp_path: object
) -> None:
    here = server(APP, driver=driver, uds=f"{tmp_path}/s", proxy_protocol=True)
    with here.connect() as client:
        with contextlib.suppress(ConnectionError):
            client.send(LINE + request("GET", "/"))
        assert client.closed()
    here.wait_for(r"^WARNING:  Connection refused\. the peer may not [^()]*$")


@pytest.mark.parametrize("header", [LINE, binary(BLOCK)], ids=["1", "2"])
def test_a_second_header_is_a_bad_request(behind: Server, header: bytes) -> None:
    with behind.connect() as client:
        client.send(header + header + request("GET", "/"))
        assert client.response().status == 400
        assert client.closed()
    with behind.connect() as client:
        client.send(header)
        assert client.get().status == 200
        client.send(header)
        assert client.response().status == 400
        assert client.closed()


@pytest.fixture
def hasty(shared_server: Callable[..., Server], driver: str) -> Server:
    return shared_server(APP, driver=driver, proxy_protocol=True, timeout_request_head=0.4)


@pytest.mark.parametrize(
    "start",
    [b"", LINE[:1], LINE[:-1], SIGNATURE, binary(BLOCK)[:-1], LINE, binary(BLOCK)],
    ids=["nothing", "1", "line", "2", "block", "whole line", "whole block"],
)
def test_the_deadline_closes_without_an_answer(hasty: Server, start: bytes) -> None:
    with hasty.connect() as client:
        port = client.sock.getsockname()[1]
        client.send(start)
        assert client.closed()
    if start not in (b"", LINE, binary(BLOCK)):
        hasty.wait_for(rf"PROXY header took too long \(from 127\.0\.0\.1:{port}\)$")


def test_a_header_that_trickles_in_earns_no_time(hasty: Server) -> None:
    """Nor does the head behind it: one deadline holds for both."""
    data = b"PROXY UNKNOWN" + b" " * 80 + b"\r\nGET / HTTP/1.1\r\nx: " + b"a" * 10_000
    deadline = time.monotonic() + PATIENCE
    sent = 0
    with hasty.connect() as client:
        client.sock.setblocking(False)
        with contextlib.suppress(ConnectionError):
            while sent < len(data):
                assert time.monotonic() < deadline, "the server waits for ever"
                client.send(data[sent : sent + 10])
                sent += 10
                time.sleep(0.05)
                with contextlib.suppress(BlockingIOError):
                    client.sock.recv(1, socket.MSG_PEEK)
                    break
    assert sent < len(data)


def test_half_a_request_behind_a_header_is_answered(hasty: Server) -> None:
    with hasty.connect() as client:
        client.send(LINE + b"GET / HT")
        assert client.response().status == 408
        assert client.closed()
    hasty.wait_for(r"Request timed out: the request head took too long \(from 192\.0\.2\.1:4000\)")


def test_who_leaves_in_the_middle_leaves_nothing(behind: Server) -> None:
    with behind.connect() as client:
        client.send(LINE + request("GET", "/"))
        assert client.response().status == 200
    before = behind.descriptors()
    for cut in range(0, len(LINE), 4):
        with behind.connect() as client:
            client.send(LINE[:cut])
            client.shutdown()
            assert client.closed()
        with behind.connect() as client:
            client.send(LINE[:cut])
            client.reset()
    wait_until(lambda: behind.descriptors() <= before)


def test_a_flood_of_strangers_is_no_flood_of_lines(
    server: Callable[..., Server], driver: str
) -> None:
    here = server(APP, driver=driver, proxy_protocol=True)
    started = time.monotonic()
    for _ in range(500):
        with here.connect() as client:
            client.send(b"x")
            assert client.closed()
    seconds = time.monotonic() - started
    lines = here.wait_for_count("Connection refused", 1)
    assert len(lines) <= 25 * (int(seconds) + 2)
    assert len(lines) < 500 or seconds > 15


def test_a_graceful_end_waits_for_the_rest_of_a_header(
    server: Callable[..., Server], driver: str
) -> None:
    """As it waits for the rest of a head."""
    here = server(APP, driver=driver, proxy_protocol=True)
    with here.connect() as client, here.connect() as other:
        client.send(LINE[:20])
        other.send(LINE)
        # What came before on another connection has been read when this is answered.
        assert other.get().status == 200
        here.send_signal(signal.SIGTERM)
        here.wait_for("Waiting for connections to close")
        client.send(LINE[20:] + request("GET", "/"))
        response = client.response()
        assert response["connection"] == "close"
        assert client.closed()
    assert here.wait() == -signal.SIGTERM
