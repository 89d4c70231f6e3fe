"""What a refusal is like: a short answer that names the fault, one log line, and the end.

Which input gets which status is in the wire cases; here are what all refusals have in common, and
what the log makes of hostile bytes (B59): one line for each event, with nothing in it that a
terminal or a log's reader would take for something else.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable

import pytest
from tests.conftest import DRIVERS
from tests.support.client import CutError, request
from tests.support.server import Server

MARK = b"HOSTILE-MARK"

REFUSED = {
    "method": (b"G@T /HOSTILE-MARK HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "connect": (b"CONNECT HOSTILE-MARK:443 HTTP/1.1\r\nhost: HOSTILE-MARK:443\r\n\r\n", 501),
    "target": (b"GET /HOSTILE-MARK\0 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "version": (b"GET /HOSTILE-MARK HTTP/3.7\r\nhost: a\r\n\r\n", 505),
    "preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "no host": (b"GET /HOSTILE-MARK HTTP/1.1\r\n\r\n", 400),
    "host": (b"GET / HTTP/1.1\r\nhost: a b HOSTILE-MARK\r\n\r\n", 400),
    "field": (b"GET / HTTP/1.1\r\nhost: a\r\nHOSTILE-MARK : b\r\n\r\n", 400),
    "value": (b"GET / HTTP/1.1\r\nhost: a\r\nx: HOSTILE-MARK\x1b[31m\r\n\r\n", 400),
    "length": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: HOSTILE-MARK\r\n\r\n", 400),
    "both": (
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
            b"0\r\n\r\nGET /HOSTILE-MARK HTTP/1.1\r\nhost: a\r\n\r\n"
        ),
        400,
    ),
    "coding": (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: HOSTILE-MARK\r\n\r\n", 501),
    "chunk": (
        b"POST /count HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nHOSTILE-MARK\r\n",
        400,
    ),
    "target too long": (b"GET /" + MARK * 2000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 414),
    "head too long": (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + MARK * 6000 + b"\r\n\r\n", 431),
}


@pytest.fixture(params=DRIVERS)
def strict(request: pytest.FixtureRequest, shared_server: Callable[..., Server]) -> Server:
    return shared_server("tests.apps.hostile:app", driver=request.param)


@pytest.fixture
def fresh(server: Callable[..., Server]) -> Server:
    """A server of its own: its log is read."""
    return server("tests.apps.hostile:app")


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_fault_and_ends(strict: Server, name: str) -> None:
    data, status = REFUSED[name]
    with strict.connect() as client:
        client.send(data)
        response = client.response()
        assert response.status == status
        assert response["connection"] == "close"
        assert response["content-type"].startswith("text/plain")
        assert response["server"] == "ferricorn"
        assert response["date"]
        assert 10 < len(response.body) < 200
        assert MARK not in response.body
        assert client.closed()


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_after_a_refusal_is_a_request(strict: Server, name: str) -> None:
    """B41: what comes behind is never parsed, whether in the same segment or later."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
    with strict.connect() as client:
        client.send(REFUSED[name][0] + smuggled)
        assert client.response().status >= 400
        with contextlib.suppress(ConnectionError):
            client.send(smuggled)
        assert client.closed()
    with strict.connect() as client:
        assert client.get().status == 200
        port = client.sock.getsockname()[1]
    # What was served before has its line before this one.
    strict.wait_for(f':{port} - "GET / HTTP/1.1" 200')
    assert not strict.lines("GET /smuggled")


def test_a_refusal_to_head_has_no_body(strict: Server) -> None:
    with strict.connect() as client:
        client.send(b"HEAD / HTTP/1.1\r\n\r\n")
        response = client.response(to_head=True)
        assert response.status == 400
        assert int(response["content-length"]) > 0
        # Whether the server has read so far as to know the method is its own affair.
        assert len(client.rest()) in (0, int(response["content-length"]))


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_one_line_with_its_reason(fresh: Server, name: str) -> None:
    data, _ = REFUSED[name]
    with fresh.connect() as client:
        client.send(data)
        body = client.response().text
        port = client.sock.getsockname()[1]
    line = fresh.wait_for(r"WARNING: +Invalid HTTP request received\. (.*)")
    fresh.stop()
    assert body.strip().rstrip(".") in line[1]
    assert f"127.0.0.1:{port}" in line[1]
    assert not [line for line in fresh.log if MARK.decode() in line]
    assert not [line for line in fresh.log if _unprintable(line)]
    assert len(fresh.lines("Invalid HTTP request received")) == 1


def _unprintable(line: str) -> bool:
    return not line.isprintable()


def test_a_flood_of_refusals_is_no_flood_of_lines(fresh: Server) -> None:
    started = time.monotonic()
    for _ in range(500):
        with fresh.connect() as client:
            client.send(b"nonsense\r\n\r\n")
            assert client.response().status == 400
    seconds = time.monotonic() - started
    lines = fresh.wait_for_count("Invalid HTTP request received", 1)
    # So many in a second of the clock, of which the test may have touched two more than it took.
    assert len(lines) <= 25 * (int(seconds) + 2)
    assert len(lines) < 500 or seconds > 15


@pytest.mark.parametrize(
    "target",
    [
        "/%1b%5b31mred",
        "/%0d%0aINFO:%20forged",
        "/%00",
        "/%22%20500%20%22",
        "/%e2%80%aeevil",
        "/%c2%85%c2%9b31m",
        "/%ff%fe",
        "/%f0%9f%92%a9",
        "/plain?\"'<>\\",
        "/?%0a%1b",
    ],
)
def test_a_path_cannot_write_into_the_log(fresh: Server, target: str) -> None:
    """Each request is one line, and that line is printable ASCII."""
    with fresh.connect() as client:
        client.send(
            f"GET {target} HTTP/1.1\r\nhost: a\r\nuser-agent: \xff\xfe\r\n\r\n".encode("latin-1")
        )
        status = client.response().status
    assert status in (200, 400, 404)
    # The refused and the answered both come before this one.
    assert fresh.get("/number?last").status == 200
    fresh.wait_for("last")
    lines = [line for line in fresh.log if "running on" not in line]
    served = [line for line in lines if re.search(r'- "GET ', line)]
    assert len(served) == (1 if status == 400 else 2)
    for line in lines:
        assert line.isascii(), line
        assert line.isprintable(), line
    for line in served:
        assert re.fullmatch(r'INFO: +[0-9.:]+ - "GET \S* HTTP/1\.1" [0-9]{3} [A-Za-z ]+', line), (
            line
        )


@pytest.mark.parametrize("name", ["host", "user-agent", "x-forwarded-for", "referer", "forwarded"])
def test_no_header_writes_into_the_log(fresh: Server, name: str) -> None:
    value = "1.2.3.4\xff\xa0\x85\t" if name != "host" else "example.org"
    fields = [(name, value)]
    with fresh.connect() as client:
        assert client.get("/", *fields).status == 200
    fresh.stop()
    assert fresh.lines('"GET / HTTP/1.1" 200 OK')
    assert not [line for line in fresh.log if not (line.isascii() and line.isprintable())]


def test_pipelined_requests_answer_alike_however_they_are_cut(strict: Server) -> None:
    """B42: at whatever byte the segments end, the same requests get the same answers."""
    data = (
        request("GET", "/number?1")
        + request("POST", "/echo", body=b"two")
        + b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"3;x=y\r\nthr\r\n2\r\nee\r\n0\r\nt: u\r\n\r\n"
        + request("HEAD", "/number?4")
        + request("GET", "/number?5", ("connection", "close"))
        + request("GET", "/number?never")
    )
    for cut in range(len(data)):
        with strict.connect() as client:
            client.send(data[:cut])
            if cut % 8 == 0:
                # Give the server the time to see the first part alone.
                time.sleep(0.002)
            client.send(data[cut:])
            assert client.response().text.strip() == "1", cut
            assert client.response().text == "two", cut
            assert client.response().text == "three", cut
            assert client.response(to_head=True)["content-length"] == "1024", cut
            assert client.response().text.strip() == "5", cut
            assert client.closed()


def test_a_request_behind_close_is_not_served(strict: Server) -> None:
    with strict.connect() as client:
        client.send(
            request("GET", "/number?1", ("connection", "close")) + request("GET", "/number?2")
        )
        assert client.response().text.strip() == "1"
        assert client.closed()
        with pytest.raises(CutError):
            client.response()
