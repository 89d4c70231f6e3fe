"""What `receive` gives: bodies as they arrive, the end of the client, and each thing only once."""

from __future__ import annotations

import ast
import hashlib
import json
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.server import Server

APP = "tests.apps.receiving:app"

DISCONNECT = {"type": "http.disconnect", "body": ""}


@pytest.fixture
def here(shared_server: StartServer) -> Server:
    return shared_server(APP)


@pytest.fixture
def fresh(server: StartServer) -> Server:
    return server(APP)


def whole(body: str = "") -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": False}


# Bodies


def test_no_body_is_one_empty_message(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    response = shared_server(APP, **everywhere).get("/messages")
    assert ast.literal_eval(response.text) == [
        {"type": "http.request", "body": b"", "more_body": False}
    ]


def test_a_body_that_came_with_the_head_is_one_message(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    with shared_server(APP, **everywhere).connect() as client:
        response = client.post("/messages", b"hello")
    assert ast.literal_eval(response.text) == [
        {"type": "http.request", "body": b"hello", "more_body": False}
    ]


def test_a_length_of_0_is_no_body(here: Server) -> None:
    with here.connect() as client:
        response = client.post("/messages", b"")
    assert ast.literal_eval(response.text) == [
        {"type": "http.request", "body": b"", "more_body": False}
    ]


def test_a_get_may_have_a_body(here: Server) -> None:
    with here.connect() as client:
        client.request("GET", "/body", body=b"unusual")
        assert client.response().body == b"unusual"
        assert client.get("/").status == 200


def test_a_chunked_body_has_no_trace_of_its_chunks(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    with shared_server(APP, **everywhere).connect() as client:
        client.request("POST", "/body", ("transfer-encoding", "chunked"), ("trailer", "x-sum"))
        client.send(b"3;note=x\r\nabc\r\n")
        client.chunk(b"\r\n0\r\n\r\n")
        client.chunk(b"d" * 100_000)
        client.send(b"0\r\nx-sum: 1\r\n\r\n")
        assert client.response().body == b"abc\r\n0\r\n\r\n" + b"d" * 100_000
        assert client.get("/").status == 200


def test_a_body_is_given_as_it_arrives(server: StartServer, everywhere: dict[str, str]) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("POST", "/as_it_comes", ("content-length", "15"))
        for count, piece in enumerate((b"first", b"other", b"third"), 1):
            client.send(piece)
            assert "".join(fresh.notes("piece", count))[-5:] == piece.decode()
        assert client.response().status == 200


def test_a_chunked_body_is_given_as_it_arrives(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("POST", "/as_it_comes", ("transfer-encoding", "chunked"))
        for count, piece in enumerate((b"first", b"other", b"third"), 1):
            client.chunk(piece)
            assert fresh.notes("piece", count)[-1] == piece.decode()
        client.chunk(b"")
        assert client.response().status == 200


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 3_000_000])
def test_a_body_of_any_size_is_whole(here: Server, size: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    with here.connect() as client:
        got = client.post("/digest", body).json()
    assert got["length"] == size
    assert got["sha256"] == hashlib.sha256(body).hexdigest()


def test_a_body_of_single_bytes_is_put_together(here: Server) -> None:
    body = bytes(range(256)) * 100
    with here.connect() as client:
        client.request("POST", "/digest", ("transfer-encoding", "chunked"))
        client.send(b"".join(b"1\r\n%c\r\n" % byte for byte in body))
        client.chunk(b"")
        got = client.response().json()
    assert got["length"] == len(body)
    assert got["sha256"] == hashlib.sha256(body).hexdigest()
    # What was there at once was not handed out byte by byte.
    assert got["longest"] > 1


# The client leaves


@pytest.mark.parametrize("leave", ["close", "reset", "shutdown"])
def test_a_client_that_leaves_is_heard_of_at_once_and_again(
    server: StartServer, everywhere: dict[str, str], leave: str
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", "/ends")
        assert fresh.notes("ends") == [whole()]
        getattr(client, leave)()
        assert fresh.notes("ends", 5) == [whole()] + [DISCONNECT] * 4


@pytest.mark.parametrize("framing", [("content-length", "10"), ("transfer-encoding", "chunked")])
def test_a_client_that_leaves_within_its_body(fresh: Server, framing: tuple[str, str]) -> None:
    with fresh.connect() as client:
        client.request("POST", "/ends", framing)
        client.send(b"3\r\nabc\r\n")
        assert fresh.notes("ends")[0]["more_body"] is True
    got = fresh.notes("ends", 5)
    assert got[-3:] == [DISCONNECT] * 3
    assert all(message.get("more_body", True) for message in got)


def test_after_the_response_there_is_only_the_end(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        assert client.get("/answers_and_ends").status == 200
        assert fresh.notes("after", 3) == [DISCONNECT] * 3
        assert client.get("/").status == 200


def test_after_an_early_response_there_is_only_the_end(fresh: Server) -> None:
    with fresh.connect() as client:
        assert client.post("/answers_unread", b"unread").status == 200
        assert fresh.notes("unread", 3) == [DISCONNECT] * 3


def test_a_client_that_only_ended_its_side_gets_its_answer(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", "/answers_on_disconnect")
        client.shutdown()
        assert fresh.notes("left") == ["http.disconnect"]
        response = client.response()
        assert response.body == b"farewell"
        assert client.closed()
    assert fresh.notes("sent")


def test_a_listener_beside_a_response_hears_the_end(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", "/receives_in_another_task")
        assert client.head().status == 200
        assert client.read_chunk() == b"first"
    assert fresh.notes("listener heard")
    assert fresh.notes("sender done")
    fresh.stop()
    assert not fresh.lines("Exception")


def test_pipelined_requests_do_not_look_like_the_end(fresh: Server) -> None:
    with fresh.connect() as client:
        client.request("GET", "/ends")
        client.request("GET", "/body")
        assert fresh.notes("ends") == [whole()]
        assert fresh.get("/").status == 200
        assert len(fresh.notes("ends")) == 1
    assert fresh.notes("ends", 5)[1:] == [DISCONNECT] * 4


# Several receivers, and those that give up


def test_two_receivers_share_a_body(server: StartServer, everywhere: dict[str, str]) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("POST", "/two_receivers", ("content-length", "4"))
        fresh.notes("two wait")
        client.send(b"body")
        assert fresh.notes("one of two") == [[1, "body"]]
    assert fresh.notes("other of two") == [["http.disconnect", "http.request"]]


def test_all_receivers_hear_the_end(server: StartServer, everywhere: dict[str, str]) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", "/many_wait_for_the_end")
        fresh.notes("ten wait")
    assert fresh.notes("ten left") == [["http.disconnect"] * 10]


def test_a_receiver_cancelled_when_it_was_woken_takes_nothing_along(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("POST", "/cancelled_as_it_is_woken", ("content-length", "9"))
        for count, piece in enumerate((b"abc", b"def", b"ghi"), 1):
            fresh.notes("three wait", count)
            client.send(piece)
        assert client.response().json() == ["abc", "def", "ghi"]


def test_a_receiver_that_gave_up_lost_nothing(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    pieces = [b"piece %d;" % number for number in range(5)]
    with fresh.connect() as client:
        client.request("POST", "/wait_for_and_again", ("transfer-encoding", "chunked"))
        for count, piece in enumerate(pieces, 1):
            fresh.notes("given up", count)
            client.chunk(piece)
        client.chunk(b"")
        assert json.loads(client.response().body) == b"".join(pieces).decode()
