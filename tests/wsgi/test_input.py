"""The body of a request as `wsgi.input`, and the log as `wsgi.errors`."""

from __future__ import annotations

import ast
import hashlib
import json
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.client import Client
from tests.support.server import Server
from tests.wsgi.conftest import Serve

APP = "tests.apps.wsgi_requests:app"
LINES = b"one\ntwo\r\n\nfour"


@pytest.fixture
def here(served: Serve) -> Server:
    return served(APP)


@pytest.fixture
def bare(served: Serve) -> Server:
    """Without the validator, which has `read` called with a size only."""
    return served("tests.apps.wsgi_requests:bare")


def send(client: Client, path: str, body: bytes, how: str) -> None:
    """Send a body with its length, or in chunks of several sizes."""
    if how == "length":
        client.request("POST", path, body=body)
        return
    client.request("POST", path, ("transfer-encoding", "chunked"))
    while body:
        size = len(body) // 2 + 1
        client.chunk(body[:size])
        body = body[size:]
    client.chunk(b"")


def calls(server: Server, body: bytes, *script: Any, how: str = "length") -> list[Any]:
    """Return what these calls of the input's methods returned."""
    with server.connect() as client:
        send(client, f"/script?{quote(json.dumps(script))}", body, how)
        response = client.response()
        assert response.status == 200, response
        return ast.literal_eval(response.text)  # type: ignore[no-any-return]


HOW = pytest.mark.parametrize("how", ["length", "chunked"])


@HOW
def test_read_with_a_size(here: Server, how: str) -> None:
    script = (["read", 5], ["read", 0], ["read", 5], ["read", 50], ["read", 50], ["read", 50])
    got = calls(here, LINES, *script, how=how)
    assert got == [b"one\nt", b"", b"wo\r\n\n", b"four", b"", b""]


@HOW
def test_read_everything(bare: Server, how: str) -> None:
    assert calls(bare, LINES, ["read"], ["read"], how=how) == [LINES, b""]
    assert calls(bare, LINES, ["read", -1], ["read", 1], how=how) == [LINES, b""]
    assert calls(bare, LINES, ["read", 3], ["read"], how=how) == [LINES[:3], LINES[3:]]
    # Its default may be said as well.
    assert calls(bare, LINES, ["read", None], how=how) == [LINES]


@HOW
def test_readline(here: Server, how: str) -> None:
    got = calls(here, LINES, *([["readline"]] * 6), how=how)
    assert got == [b"one\n", b"two\r\n", b"\n", b"four", b"", b""]


@HOW
def test_readline_with_a_size(here: Server, how: str) -> None:
    script = (["readline", 2], ["readline", 50], ["readline", 4], ["readline", 0], ["readline", 1])
    assert calls(here, LINES, *script, how=how) == [b"on", b"e\n", b"two\r", b"", b"\n"]


@HOW
def test_readlines(here: Server, how: str) -> None:
    lines = [b"one\n", b"two\r\n", b"\n", b"four"]
    assert calls(here, LINES, ["readlines"], ["readlines"], how=how) == [lines, []]
    # A hint may be ignored; what was not returned is still there.
    first, second = calls(here, LINES, ["readlines", 1], ["readlines"], how=how)
    assert first
    assert first + second == lines


@HOW
def test_iteration(here: Server, how: str) -> None:
    lines = [b"one\n", b"two\r\n", b"\n", b"four"]
    assert calls(here, LINES, ["list"], ["list"], how=how) == [lines, []]
    assert calls(here, LINES, ["next"], ["read", 3], ["list"], how=how) == [
        b"one\n",
        b"two",
        [b"\r\n", b"\n", b"four"],
    ]


def test_all_manners_one_after_the_other(here: Server) -> None:
    script = (["readline"], ["read", 2], ["next"], ["readlines"], ["read", 9], ["readline"])
    assert calls(here, LINES, *script) == [
        b"one\n",
        b"tw",
        b"o\r\n",
        [b"\n", b"four"],
        b"",
        b"",
    ]


NOTHING = {
    "none": b"GET /%s HTTP/1.1\r\nhost: a\r\n\r\n",
    "length": b"POST /%s HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
    "chunked": b"POST /%s HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "http 1.0": b"GET /%s HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
}


@pytest.mark.parametrize("head", NOTHING.values(), ids=NOTHING)
def test_an_empty_body(here: Server, head: bytes) -> None:
    script = json.dumps([["read", 9], ["readline"], ["readlines"], ["list"], ["next"]])
    with here.connect() as client:
        client.send(head % f"script?{quote(script)}".encode())
        assert ast.literal_eval(client.response().text) == [b"", b"", [], [], b"nothing"]
        # Nothing of the next request was read.
        assert client.get("/").text == "ok"


@HOW
def test_reading_ends_where_the_body_ends(here: Server, how: str) -> None:
    with here.connect() as client:
        script = quote(json.dumps([["read", 1000], ["read", 1000], ["readline"]]))
        send(client, f"/script?{script}", b"body\n", how)
        client.request("GET", "/unread")
        assert ast.literal_eval(client.response().text) == [b"body\n", b"", b""]
        assert client.response().text == "GET"


def test_a_get_may_have_a_body(here: Server) -> None:
    with here.connect() as client:
        client.request("GET", "/echo", body=b"unusual\n")
        assert client.response().body == b"unusual\n"


@HOW
@pytest.mark.parametrize("piece", [1_000, 65_536, 10_000_000])
def test_a_large_body_is_whole(here: Server, how: str, piece: int) -> None:
    body = bytes(range(256)) * 12_000
    with here.connect() as client:
        send(client, f"/digest?{piece}", body, how)
        wanted = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        assert client.response().json() == wanted
        assert client.get("/").text == "ok"


def test_a_body_of_single_octets_is_whole(here: Server) -> None:
    body = bytes(range(256)) * 20
    with here.connect() as client:
        client.request("POST", "/digest", ("transfer-encoding", "chunked"))
        client.send(b"".join(b"1\r\n%c\r\n" % byte for byte in body))
        client.send(b"0\r\nx-trailer: 1\r\n\r\n")
        wanted = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        assert client.response().json() == wanted


def test_a_body_that_comes_slowly_is_whole(here: Server) -> None:
    with here.connect() as client:
        client.request("POST", "/echo", ("content-length", "12"))
        for piece in (b"on", b"e\n", b"tw", b"o\n", b"e", b"nd", b"\n"):
            client.send(piece)
            # Another request passes meanwhile, so that each piece is read by itself.
            assert here.get("/").text == "ok"
        assert client.response().body == b"one\ntwo\nend\n"


def test_lines_are_as_long_as_they_are(here: Server) -> None:
    body = b"a" * 100_000 + b"\n" + b"b" * 200_000
    with here.connect() as client:
        assert client.post("/echo", body).body == body
    assert calls(here, body, ["readline"], ["readline"]) == [body[:100_001], body[100_001:]]


@pytest.mark.parametrize("size", [4, 60_000])
@HOW
def test_a_body_that_nobody_reads_is_skipped(here: Server, size: int, how: str) -> None:
    with here.connect() as client:
        for _ in range(3):
            send(client, "/unread", bytes(size), how)
            assert client.response().text == "POST"
        assert client.get("/").text == "ok"


@HOW
def test_a_large_body_that_nobody_reads_is_answered(here: Server, how: str) -> None:
    for _ in range(3):
        with here.connect() as client:
            send(client, "/unread", bytes(3_000_000), how)
            assert client.response().text == "POST"


def test_a_client_may_wait_for_100_continue(here: Server) -> None:
    with here.connect() as client:
        client.request("POST", "/digest", ("expect", "100-continue"), ("content-length", "5"))
        interim = client.head()
        assert (interim.status, interim.headers) == (100, [])
        client.send(b"hello")
        assert client.response().json()["length"] == 5
        # It is not kept for the next.
        response = client.post("/digest", b"world!")
        assert response.json()["length"] == 6
        assert response.interim == []


def test_a_body_in_chunks_may_wait_too(here: Server) -> None:
    with here.connect() as client:
        client.request(
            "POST", "/digest", ("expect", "100-continue"), ("transfer-encoding", "chunked")
        )
        assert client.head().status == 100
        client.chunk(b"hello")
        client.chunk(b"")
        assert client.response().json()["length"] == 5


@pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["fin", "rst"])
def test_uploads_that_are_given_up(here: Server, leave: Any) -> None:
    for _ in range(50):
        client = here.connect()
        client.send(b"POST /digest HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nthe")
        leave(client)
    with here.connect() as client:
        assert client.post("/digest", b"all").json()["length"] == 3


@pytest.mark.parametrize(
    "broken",
    [
        b"POST /digest HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n",
        b"POST /digest HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    ],
    ids=["chunk", "length"],
)
def test_a_malformed_body_is_refused(here: Server, broken: bytes) -> None:
    with here.connect() as client:
        client.send(broken)
        rest = client.rest()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")
    assert here.get("/").text == "ok"


# wsgi.errors


def test_what_is_written_to_the_errors_is_in_the_log(fresh: Serve) -> None:
    server = fresh(APP)
    assert server.get("/complain?ann").text == "ok"
    server.wait_for("^ann wrote é$")
    server.wait_for("^ann wrote lines$")
    assert server.lines("ann wrote") == [line for line in server.err if "ann wrote" in line]
