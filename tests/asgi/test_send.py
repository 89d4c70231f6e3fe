"""What `send` makes of messages: the bytes of responses, and refusals of what must not be sent."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.client import Client, CutError, Response
from tests.support.server import Server

APP = "tests.apps.sending:app"

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"body"}
END: dict[str, Any] = {"type": "http.response.body"}
LENGTH_4 = {**START, "headers": [(b"content-length", b"4")]}


@pytest.fixture
def here(shared_server: StartServer) -> Server:
    return shared_server(APP)


@pytest.fixture
def fresh(server: StartServer) -> Server:
    return server(APP)


def ask(client: Client, *messages: Any, method: str = "POST", route: str = "script") -> None:
    client.request(method, f"/{route}", body=repr(messages).encode())


def answer(server: Server, *messages: Any, method: str = "POST", route: str = "script") -> Response:
    """Return what a client gets of a response of these messages; the connection must be kept."""
    with server.connect() as client:
        ask(client, *messages, method=method, route=route)
        response = client.head()
        if method != "HEAD":
            client.body(response)
        assert client.get("/").body == b"ok"
    return response


def raw_answer(server: Server, *messages: Any, version: str = "1.1") -> bytes:
    """Return all bytes of a response, after which the connection ends."""
    body = repr(messages).encode()
    with server.connect() as client:
        head = f"POST /script HTTP/{version}\r\nhost: x\r\nconnection: close\r\ncontent-length: "
        client.send(f"{head}{len(body)}\r\n\r\n".encode() + body)
        return client.rest()


# Heads


def test_a_whole_response(shared_server: StartServer, everywhere: dict[str, str]) -> None:
    server = shared_server(APP, **everywhere)
    headers = [(b"Content-Length", b"4"), (b"X-Twice", b"1"), (b"x-TWICE", b" \t2 ")]
    raw = raw_answer(server, {**START, "headers": headers}, BODY)
    date, rest = re.fullmatch(
        rb"HTTP/1.1 200 OK\r\n(date: [^\r]*)\r\n(.*)", raw, re.DOTALL
    ).groups()
    assert re.fullmatch(rb"date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert rest == (
        b"server: ferricorn\r\ncontent-length: 4\r\nx-twice: 1\r\nx-twice: 2\r\n"
        b"connection: close\r\n\r\nbody"
    )


def test_headers_of_the_server_come_first_and_those_of_the_command_line_next(
    shared_server: StartServer,
) -> None:
    server = shared_server(APP, header=["X-Zero: 0", "x-one:1"])
    response = answer(server, {**START, "headers": [(b"a", b"b")]}, BODY)
    assert [name for name, _ in response.headers] == [
        "date",
        "server",
        "x-zero",
        "x-one",
        "a",
        "transfer-encoding",
    ]


def test_default_headers_may_be_off(shared_server: StartServer) -> None:
    server = shared_server(APP, date_header=False, server_header=False)
    assert answer(server, LENGTH_4, BODY).headers == [("content-length", "4")]


def test_an_application_s_date_and_server_stand_alone(here: Server) -> None:
    headers = [(b"date", b"yesterday"), (b"Server", b"mine")]
    response = answer(here, {**START, "headers": headers}, BODY)
    assert response["date"] == "yesterday"
    assert response["server"] == "mine"


def test_a_server_header_of_the_command_line_stands_alone(shared_server: StartServer) -> None:
    assert answer(shared_server(APP, header="Server: mine"), LENGTH_4, BODY)["server"] == "mine"


REASONS = {
    200: "OK",
    201: "Created",
    299: "",
    404: "Not Found",
    503: "Service Unavailable",
    599: "",
}


@pytest.mark.parametrize(("status", "reason"), REASONS.items())
def test_statuses(here: Server, status: int, reason: str) -> None:
    response = answer(here, {**LENGTH_4, "status": status}, BODY)
    assert response.status == status
    assert response.reason == reason


def test_header_values_of_any_octets_that_are_allowed(here: Server) -> None:
    value = bytes([*range(0x20, 0x7F), 9, *range(0x80, 0x100)])
    response = answer(
        here, {**LENGTH_4, "headers": [(b"content-length", b"4"), (b"x", value)]}, BODY
    )
    assert response["x"].encode("latin-1") == value.strip(b" ")


def test_messages_may_leave_out_what_has_a_default(here: Server) -> None:
    response = answer(here, {"type": "http.response.start", "status": 200}, END)
    assert response.body == b""
    response = answer(here, {**START, "headers": None}, END)
    assert response.body == b""


def test_all_kinds_of_bytes_are_taken_as_they_are_when_sent(here: Server) -> None:
    response = here.get("/kinds_of_bytes")
    assert response.body == b"bytearray;memoryview;" + b"m" * 100_000 + b"bytes;"
    assert response["x-list"] == "1"
    assert response["x-bytearray"] == "2"


def test_what_is_sent_may_have_code_of_its_own(here: Server) -> None:
    assert here.get("/bytes_with_a_will").body == b"latebody"
    assert here.get("/").body == b"ok"


def test_subclasses_of_types_are_those_types(here: Server) -> None:
    response = here.get("/subclasses")
    assert (response["x-kind"], response.body) == ("sub", b"octets")


# Framing


def test_a_body_without_length_is_chunked(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    more = {**BODY, "more_body": True}
    response = answer(shared_server(APP, **everywhere), START, more, more, BODY)
    assert response["transfer-encoding"] == "chunked"
    assert "content-length" not in response
    assert response.body == b"bodybodybody"


def test_the_single_part_of_a_body_without_length_is_chunked_too(here: Server) -> None:
    response = answer(here, START, BODY)
    assert response["transfer-encoding"] == "chunked"
    assert response.chunks == [b"body"]


def test_empty_parts_do_not_end_a_chunked_body(here: Server) -> None:
    empty = {**BODY, "body": b"", "more_body": True}
    response = answer(here, START, empty, {**BODY, "more_body": True}, empty, BODY)
    assert response.body == b"bodybody"
    assert answer(here, START, empty, END).body == b""


def test_an_application_may_say_itself_that_it_is_chunked(here: Server) -> None:
    start = {**START, "headers": [(b"Transfer-Encoding", b"chunked")]}
    response = answer(here, start, {**BODY, "more_body": True}, BODY)
    assert response.all("transfer-encoding") == ["chunked"]
    assert response.body == b"bodybody"


def test_length_and_coding_together_leave_the_coding(here: Server) -> None:
    start = {**START, "headers": [(b"content-length", b"4"), (b"transfer-encoding", b"chunked")]}
    response = answer(here, start, BODY)
    assert "content-length" not in response
    assert response.body == b"body"


def test_http_1_0_gets_a_body_that_ends_with_the_connection(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    server = shared_server(APP, **everywhere)
    raw = raw_answer(server, START, {**BODY, "more_body": True}, BODY, version="1.0")
    head, body = raw.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"bodybody"


def test_http_1_0_is_kept_if_it_wants_and_the_length_is_known(here: Server) -> None:
    with here.connect() as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            response = client.response()
            assert response["connection"] == "keep-alive"
            assert response.body == b"ok"


def test_a_response_to_head_is_that_to_get_without_its_body(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    server = shared_server(APP, **everywhere)
    assert answer(server, LENGTH_4, BODY, method="HEAD")["content-length"] == "4"
    response = answer(server, START, {**BODY, "more_body": True}, BODY, method="HEAD")
    assert "content-length" not in response
    # What was not sent need not be as long as was said.
    assert answer(server, LENGTH_4, END, method="HEAD")["content-length"] == "4"


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_that_has_no_body_gets_none(here: Server, status: int) -> None:
    response = answer(here, {**START, "status": status}, BODY)
    assert response.status == status
    assert "transfer-encoding" not in response
    assert "content-length" not in response


def test_no_length_in_204_but_in_304(here: Server) -> None:
    assert "content-length" not in answer(here, {**LENGTH_4, "status": 204}, END)
    assert answer(here, {**LENGTH_4, "status": 304}, END)["content-length"] == "4"


def test_an_application_may_close_the_connection(here: Server) -> None:
    with here.connect() as client:
        ask(
            client,
            {**START, "headers": [(b"Connection", b"close"), (b"content-length", b"4")]},
            BODY,
        )
        response = client.response()
        assert response.all("connection") == ["close"]
        assert response.body == b"body"
        assert client.closed()


# When things leave


def test_each_part_leaves_when_it_is_sent(server: StartServer, everywhere: dict[str, str]) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", "/step_by_step")
        response = client.head()
        for number in range(3):
            fresh.get("/pass/step")
            assert client.read_chunk() == b"step %d" % number
        fresh.get("/pass/step")
        assert client.body(response).body == b""


def test_a_send_that_need_not_wait_lets_nothing_else_run(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    assert shared_server(APP, **everywhere).get("/at_once").body == b"small0"


def test_sends_after_the_client_left_go_nowhere(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", "/after_the_end")
        client.reset()
    assert fresh.notes("sent to nobody")
    fresh.stop()
    assert not fresh.lines("ERROR|Traceback|Exception")


def test_several_tasks_that_send_get_all_their_pieces_through(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    body = shared_server(APP, **everywhere).get("/interleaved/5").body
    assert len(body) == 5 * 20 * 50_000
    assert all(body.count(b"%d" % index) == 20 * 50_000 for index in range(5))


# Messages that are refused


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\0b"),
        (b"x", b"a\x1fb"),
        (b"x", b"a\x7fb"),
        (b"location", b"/\r\n\r\n<script>"),
        (b"", b"a"),
        (b"x y", b"a"),
        (b"x:", b"a"),
        (b"x\r\ny", b"a"),
        (b"x\xe9", b"a"),
        (b"content-length", b"-1"),
        (b"content-length", b"4, 4"),
        (b"content-length", b"four"),
        (b"content-length", b""),
        (b"transfer-encoding", b"gzip"),
    ],
)
def test_a_header_that_would_break_the_head_is_an_error_and_nothing_was_sent(
    here: Server, name: bytes, value: bytes
) -> None:
    start = {**START, "headers": [(b"good", b"1"), (name, value)]}
    response = answer(here, start, BODY, route="attempt")
    assert response.status == 299
    assert response.text.startswith("RuntimeError: ")
    assert "good" not in response


def test_an_injected_header_is_a_500(server: StartServer, everywhere: dict[str, str]) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        ask(client, {**START, "headers": [(b"x", b"a\r\nset-cookie: b")]}, BODY)
        raw = client.rest()
    assert raw.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"set-cookie" not in raw
    assert raw.count(b"HTTP/1.1") == 1
    fresh.wait_for("^RuntimeError: ")


def test_two_lengths_are_an_error(here: Server) -> None:
    headers = [(b"content-length", b"4"), (b"Content-Length", b"4")]
    response = answer(here, {**START, "headers": headers}, BODY, route="attempt")
    assert response.status == 299


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (
            [BODY],
            "RuntimeError: Expected ASGI message 'http.response.start', but got 'http.",
        ),
        ([{"type": "http.unknown"}], "RuntimeError: "),
        ([{"type": "http.request"}], "RuntimeError: "),
        ([{"type": "websocket.accept"}], "RuntimeError: "),
        ([{"type": b"http.response.start"}], "TypeError: "),
        ([{}], "ValueError: "),
        (["http.response.start"], "TypeError: "),
        ([None], "TypeError: "),
        ([{"type": "http.response.start"}], "TypeError: "),
        ([{**START, "status": "200"}], "TypeError: "),
        ([{**START, "status": None}], "TypeError: "),
        ([{**START, "status": 99}], ""),
        ([{**START, "status": 101}], ""),
        ([{**START, "status": 600}], ""),
        ([{**START, "status": 70000}], ""),
        ([{**START, "status": -200}], ""),
        ([{**START, "headers": [("x", "y")]}], "TypeError: "),
        ([{**START, "headers": [(b"x",)]}], "ValueError: "),
        ([{**START, "headers": [(b"x", b"y", b"z")]}], "ValueError: "),
        ([{**START, "headers": [(b"x", None)]}], "TypeError: "),
        ([{**START, "headers": 1}], "TypeError: "),
    ],
)
def test_a_wrong_first_message_is_an_error_and_nothing_was_sent(
    here: Server, messages: list[Any], error: str
) -> None:
    response = answer(here, *messages, route="attempt")
    assert response.status == 299
    assert response.text.startswith(error)


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (
            [LENGTH_4, LENGTH_4],
            "RuntimeError: Expected ASGI message 'http.response.body', but got 'http.",
        ),
        ([LENGTH_4, {**BODY, "body": "text"}], "TypeError: "),
        ([LENGTH_4, {**BODY, "body": None}], "TypeError: "),
        ([LENGTH_4, {**BODY, "body": 4}], "TypeError: "),
        ([LENGTH_4, {**BODY, "body": b"longer"}], "RuntimeError: "),
        ([LENGTH_4, {**BODY, "more_body": True}, BODY], "RuntimeError: "),
        ([LENGTH_4, {**BODY, "body": b"abc"}], "RuntimeError: "),
        ([LENGTH_4, END], "RuntimeError: "),
    ],
)
def test_a_wrong_later_message_is_an_error_and_cuts_the_response(
    fresh: Server, messages: list[Any], error: str
) -> None:
    with fresh.connect() as client:
        ask(client, *messages, route="attempt")
        # Never more than the four bytes that were announced, and never all of them.
        raw = client.rest()
    assert len(raw.partition(b"\r\n\r\n")[2]) <= 4
    assert fresh.notes("attempt")[0].startswith(error)
    assert fresh.get("/").status == 200


def test_a_body_that_is_too_short_is_not_taken_for_whole(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    with server(APP, **everywhere).connect() as client:
        ask(client, LENGTH_4, {**BODY, "body": b"abc"})
        with pytest.raises(CutError):
            client.response()


def test_a_body_that_is_too_long_is_cut(server: StartServer, everywhere: dict[str, str]) -> None:
    with server(APP, **everywhere).connect() as client:
        ask(client, LENGTH_4, {**BODY, "body": b"abc", "more_body": True}, BODY)
        assert client.rest().partition(b"\r\n\r\n")[2] in (b"", b"abc", b"abcb")


@pytest.mark.parametrize("late", [BODY, START, END], ids=["body", "start", "end"])
def test_a_message_after_the_end_is_an_error_that_the_client_does_not_see(
    fresh: Server, late: dict[str, Any]
) -> None:
    with fresh.connect() as client:
        ask(client, LENGTH_4, BODY, late, route="attempt")
        assert client.response().body == b"body"
    assert fresh.notes("attempt") == [
        (
            f"RuntimeError: Unexpected ASGI message '{late['type']}' sent, "
            "after response already completed."
        )
    ]
