"""How a WebSocket begins, or does not: RFC 6455 section 4, and what an application may answer."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.server import Server
from tests.support.websocket import KEY, Peer, connect, frame

APP = "tests.apps.sockets:app"


@pytest.fixture
def here(shared_server: StartServer, everywhere: dict[str, str]) -> Server:
    return shared_server(APP, **everywhere)


@pytest.fixture
def fresh(server: StartServer) -> Server:
    return server(APP)


def test_the_scope(here: Server) -> None:
    with connect(here, "/shows_scope/a%20b?x=1", ("sec-websocket-protocol", "one, two")) as peer:
        scope = ast.literal_eval(str(peer.hear()).replace("mappingproxy({})", "{}"))
        port = peer.sock.getsockname()[1]
    headers = scope.pop("headers")
    assert (b"sec-websocket-protocol", b"one, two") in headers
    assert (b"sec-websocket-key", KEY.encode()) in headers
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "server": ("127.0.0.1", here.port),
        "client": ("127.0.0.1", port),
        "scheme": "ws",
        "root_path": "",
        "path": "/shows_scope/a b",
        "raw_path": b"/shows_scope/a%20b",
        "query_string": b"x=1",
        "subprotocols": ["one", "two"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }


def test_a_subprotocol_and_headers_are_chosen(here: Server) -> None:
    with Peer(here.connect().sock) as peer:
        answer = peer.handshake("/accepts", ("sec-websocket-protocol", "chat, superchat"))
    assert answer["sec-websocket-protocol"] == "superchat"
    assert answer["x-greeting"] == "hello"
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert answer["server"] == "ferricorn"
    assert answer["date"]
    assert "content-length" not in answer


def test_without_a_choice_there_is_no_subprotocol(here: Server) -> None:
    with Peer(here.connect().sock) as peer:
        answer = peer.handshake("/echo", ("sec-websocket-protocol", "chat"))
    assert answer.status == 101
    assert "sec-websocket-protocol" not in answer


def test_a_client_is_turned_away(server: StartServer, everywhere: dict[str, str]) -> None:
    fresh = server(APP, **everywhere)
    with Peer(fresh.connect().sock) as peer:
        answer = peer.handshake("/denies?a=1")
        assert (answer.status, answer.body) == (403, b"")
        assert answer["connection"] == "close"
        assert peer.closed()
    assert fresh.notes("after") == [{"type": "websocket.disconnect", "code": 1006}]
    fresh.wait_for(r'127\.0\.0\.1:\d+ - "WebSocket /denies\?a=1" 403')


def test_a_client_is_answered_in_plain_http(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    with Peer(fresh.connect().sock) as peer:
        answer = peer.handshake("/answers")
        assert (answer.status, answer.body) == (418, b"<p>no room</p>")
        assert answer["x-reason"] == "full"
        assert peer.closed()
    assert fresh.notes("after") == [{"type": "websocket.disconnect", "code": 1006}]
    fresh.wait_for(r'"WebSocket /answers" 418')


def test_an_answer_in_plain_http_has_no_trailers(fresh: Server) -> None:
    with Peer(fresh.connect().sock) as peer:
        answer = peer.handshake("/answers_with_trailers")
        assert (answer.status, answer.body) == (418, b"no room")
        assert peer.closed()


@pytest.mark.parametrize("path", ["/returns_at_once", "/raises_at_once"])
def test_an_application_that_ends_without_an_answer(fresh: Server, path: str) -> None:
    with Peer(fresh.connect().sock) as peer:
        assert peer.handshake(path).status == 500
        assert peer.closed()
    if path == "/returns_at_once":
        fresh.wait_for("ASGI callable returned without completing handshake.")
    else:
        fresh.wait_for("Exception in ASGI application")
    fresh.wait_for(f'"WebSocket {path}" 500')


def test_the_lines_of_a_connection(fresh: Server) -> None:
    with connect(fresh, "/echo/%C3%A9?q=1") as peer:
        peer.leave()
    fresh.wait_for("connection closed")
    lines = [line.split(" - ")[-1].removeprefix("INFO:").strip() for line in fresh.err[-3:]]
    assert lines[0] == '"WebSocket /echo/%C3%A9?q=1" [accepted]'
    assert lines[1:] == ["connection open", "connection closed"]
    assert not fresh.out


@pytest.mark.parametrize(
    ("replaced", "status"),
    [
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_key": "c2hvcnQ="}, 400),
        ({"sec_websocket_key": "!" * 24}, 400),
        ({"sec_websocket_key": KEY + "AA"}, 400),
        ({"sec_websocket_version": None}, 426),
        ({"sec_websocket_version": "12"}, 426),
        ({"sec_websocket_version": "013"}, 426),
        ({"sec_websocket_protocol": "a b"}, 400),
        ({"sec_websocket_protocol": "caf\xe9"}, 400),
    ],
)
def test_a_malformed_handshake(here: Server, replaced: dict[str, str | None], status: int) -> None:
    with Peer(here.connect().sock) as peer:
        answer = peer.handshake("/echo", **replaced)
        assert answer.status == status
        if status == 426:
            assert answer["sec-websocket-version"] == "13"
        assert peer.closed()


@pytest.mark.parametrize(
    "replaced",
    [
        {"connection": "keep-alive"},
        {"connection": None},
        {"upgrade": "h2c"},
        {"upgrade": None},
    ],
)
def test_what_asks_for_no_websocket_is_plain_http(
    here: Server, replaced: dict[str, str | None]
) -> None:
    with Peer(here.connect().sock) as peer:
        answer = peer.handshake("/echo", **replaced)
        assert (answer.status, answer.body) == (200, b"plain")


def test_a_post_or_a_body_is_plain_http(here: Server) -> None:
    headers = [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-key", KEY)]
    with here.connect() as client:
        client.request("POST", "/echo", *headers, ("sec-websocket-version", "13"), body=b"x")
        assert client.response().text == "plain"


def test_http_1_0_has_no_upgrade(here: Server) -> None:
    lines = ["GET /echo HTTP/1.0", "host: x", "upgrade: websocket", "connection: upgrade"]
    lines += [f"sec-websocket-key: {KEY}", "sec-websocket-version: 13", "", ""]
    with here.connect() as client:
        client.send("\r\n".join(lines).encode())
        assert client.response().text == "plain"


def test_websockets_can_be_switched_off(server: StartServer) -> None:
    off = server(APP, ws="none")
    with Peer(off.connect().sock) as peer:
        assert peer.handshake("/echo").text == "plain"
    off.wait_for("^WARNING: +Unsupported upgrade request.$")


def test_another_protocol_is_reported(fresh: Server) -> None:
    with Peer(fresh.connect().sock) as peer:
        assert peer.handshake("/echo", upgrade="h2c").text == "plain"
    fresh.wait_for("^WARNING: +Unsupported upgrade request.$")


def test_messages_may_come_with_the_handshake(here: Server) -> None:
    # Nobody may count on being accepted, but what comes belongs to the WebSocket.
    with Peer(here.connect().sock) as peer:
        lines = ["GET /echo HTTP/1.1", "host: x", "upgrade: websocket", "connection: upgrade"]
        lines += [f"sec-websocket-key: {KEY}", "sec-websocket-version: 13", "", ""]
        peer.send("\r\n".join(lines).encode() + frame(1, b"early") + frame(1, b"bird"))
        assert peer.response().status == 101
        assert [peer.hear(), peer.hear()] == ["early", "bird"]


def test_what_follows_a_refused_handshake_is_not_served(here: Server) -> None:
    with Peer(here.connect().sock) as peer:
        smuggled = b"GET /shows_scope HTTP/1.1\r\nhost: x\r\n\r\n"
        lines = ["GET /denies HTTP/1.1", "host: x", "upgrade: websocket", "connection: upgrade"]
        lines += [f"sec-websocket-key: {KEY}", "sec-websocket-version: 13", "", ""]
        peer.send("\r\n".join(lines).encode() + smuggled)
        assert peer.response().status == 403
        assert peer.closed()


def test_a_request_before_the_handshake(here: Server) -> None:
    with Peer(here.connect().sock) as peer:
        assert peer.get("/echo").text == "plain"
        assert peer.handshake("/echo").status == 101
        peer.say("hello")
        assert peer.hear() == "hello"


def test_a_handshake_byte_by_byte(here: Server) -> None:
    lines = ["GET /echo HTTP/1.1", "host: x", "upgrade: websocket", "connection: upgrade"]
    lines += [f"sec-websocket-key: {KEY}", "sec-websocket-version: 13", "", ""]
    with Peer(here.connect().sock) as peer:
        for byte in "\r\n".join(lines).encode():
            peer.send(bytes([byte]))
        assert peer.response().status == 101
        for byte in frame(1, b"slow"):
            peer.send(bytes([byte]))
        assert peer.hear() == "slow"


def test_the_most_connections(server: StartServer) -> None:
    narrow = server(APP, ws_max_connections=2)
    with connect(narrow, "/echo"), connect(narrow, "/echo") as second:
        with Peer(narrow.connect().sock) as third:
            answer = third.handshake("/echo")
            assert (answer.status, answer["retry-after"]) == (503, "1")
        assert narrow.get("/echo").text == "plain"
        second.leave()
        narrow.notes("left")
        narrow.wait_for("connection closed")
        connect(narrow, "/echo").close()


EXPECTED = [
    f"Expected ASGI message {kinds}"
    for kinds in (
        "'websocket.accept', 'websocket.close' or 'websocket.http.response.start'",
        "'websocket.send' or 'websocket.close'",
    )
]


def test_what_an_application_may_not_send(fresh: Server) -> None:
    with connect(fresh, "/misuses") as peer:
        told = str(peer.hear()).split("\n")
    assert told[:9] == [
        f"RuntimeError: {EXPECTED[0]} but got 'websocket.send'.",
        "RuntimeError: Unexpected ASGI message 'http.response.start'.",
        'TypeError: a "subprotocol" is a str',
        "RuntimeError: Invalid HTTP header value.",
        "RuntimeError: This header is not allowed here.",
        "sent",
        f"RuntimeError: {EXPECTED[1]}, but got 'websocket.accept'.",
        'ValueError: a message needs "bytes" or "text"',
        'TypeError: the "text" of a message is a str',
    ]
    assert told[9].startswith("UnicodeEncodeError: ")
    assert told[10].startswith("RuntimeError: ")
    assert told[11].startswith("OverflowError: ")


def test_the_scope_of_plain_http_is_as_ever(here: Server) -> None:
    scope: dict[str, Any] = json.loads(here.get("/shows_scope").text)
    assert scope["type"] == "http"
    assert "subprotocols" not in scope
