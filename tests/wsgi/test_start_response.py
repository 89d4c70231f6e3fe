"""`start_response`: heads of responses, `write`, and `exc_info`, used rightly and wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.client import Client, CutError, Response
from tests.support.server import Server
from tests.wsgi.conftest import Serve

APP = "tests.apps.wsgi_responses:app"
TEXT = ("Content-Type", "text/plain")


@pytest.fixture
def here(served: Serve) -> Server:
    return served(APP)


@pytest.fixture
def bare(served: Serve) -> Server:
    """Without the validator, which would refuse what is wrong by itself."""
    return served("tests.apps.wsgi_responses:bare")


def ask(
    client: Client,
    status: Any = "200 OK",
    headers: Any = (TEXT,),
    body: Any = (b"body",),
    method: str = "POST",
) -> None:
    if isinstance(headers, tuple):
        headers = list(headers)
    client.request(method, "/script", body=repr((status, headers, list(body))).encode())


def answer(server: Server, *script: Any, **named: Any) -> Response:
    """Return the response to a script; the connection must go on."""
    with server.connect() as client:
        ask(client, *script, **named)
        response = client.response()
        assert client.get("/").text == "ok"
    return response


# Heads


def test_a_head(here: Server) -> None:
    headers = (TEXT, ("X-One", "1"), ("x-ONE", "2"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2"))
    response = answer(here, "201 Created", headers)
    assert (response.status, response.reason, response.version) == (201, "Created", "1.1")
    assert response.all("content-type") == ["text/plain"]
    assert response.all("x-one") == ["1", "2"]
    assert response.all("set-cookie") == ["a=1", "b=2"]
    assert response.body == b"body"
    assert len(response.all("date")) == 1
    assert response["server"] == "ferricorn"


@pytest.mark.parametrize("status", ["200 Fine", "404 Not Found", "418 I'm a teapot", "599 Odd"])
def test_the_reason_is_the_applications(here: Server, status: str) -> None:
    response = answer(here, status)
    assert f"{response.status} {response.reason}" == status


def test_values_are_octets_as_characters(here: Server) -> None:
    response = answer(here, "200 OK", (TEXT, ("X-One", "caf\xe9 \xff"), ("X-Two", "\xc3\xa9")))
    assert response["x-one"] == "caf\xe9 \xff"
    assert response["x-two"].encode("latin-1").decode() == "é"


def test_an_empty_value(here: Server) -> None:
    assert answer(here, "200 OK", (TEXT, ("X-Empty", "")))["x-empty"] == ""


def test_the_applications_date_and_server_stand_alone(here: Server) -> None:
    response = answer(here, "200 OK", (TEXT, ("Date", "yesterday"), ("Server", "mine")))
    assert response["date"] == "yesterday"
    assert response["server"] == "mine"


def test_headers_of_the_command_line_are_added(served: Serve) -> None:
    server = served(APP, header=["X-Everywhere: 1"])
    assert answer(server)["x-everywhere"] == "1"


def test_an_application_may_close_the_connection(bare: Server) -> None:
    with bare.connect() as client:
        ask(client, "200 OK", (TEXT, ("Connection", "close"), ("Content-Length", "4")))
        response = client.response()
        assert response.all("connection") == ["close"]
        assert response.body == b"body"
        assert client.closed()


# write


def test_what_is_written_comes_before_what_is_returned(here: Server) -> None:
    with here.connect() as client:
        for _ in range(2):
            assert client.get("/writes").body == b"written again returned"


def test_what_is_written_is_sent_at_once(here: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with here.connect() as client:
        client.request("GET", f"/writes_step_by_step?{gate}")
        assert client.head().status == 200
        assert client.read_chunk() == b"first"
        gate.touch()
        assert client.read_chunk() == b"second"
        assert client.read_chunk() == b""


# exc_info


def test_the_head_may_be_replaced_until_the_first_portion(here: Server) -> None:
    response = here.get("/changes_its_mind")
    assert (response.status, response.body) == (404, b"gone")
    assert response["x-new"] == "1"
    assert "x-old" not in response


def test_an_error_may_be_reported(here: Server) -> None:
    response = here.get("/reports")
    assert (response.status, response.body) == (503, b"reported")


def test_an_error_that_is_reported_too_late_is_raised(fresh: Serve, tmp_path: Path) -> None:
    server = fresh(APP)
    gate = tmp_path / "gate"
    with server.connect() as client:
        client.request("GET", f"/reports_too_late?{gate}")
        response = client.head()
        assert response.status == 200
        assert client.read_chunk() == b"one"
        gate.touch()
        with pytest.raises(CutError):
            client.body(response)
    server.wait_for("FaultError: too late$")
    assert server.get("/").text == "ok"


# What is wrong


def test_it_is_called_twice(bare: Server) -> None:
    refused = len(bare.lines("called twice|already"))
    assert bare.get("/starts_twice").status == 500
    bare.wait_for_count("Error: .*(twice|already)", refused + 1)
    assert bare.get("/").text == "ok"


def test_it_is_never_called(bare: Server) -> None:
    refused = len(bare.lines("Error: .*start_response"))
    assert bare.get("/never_starts").status == 500
    bare.wait_for_count("Error: .*start_response", refused + 1)
    assert bare.get("/").text == "ok"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, [TEXT]),
        (b"200 OK", [TEXT]),
        (None, [TEXT]),
        ("OK", [TEXT]),
        ("", [TEXT]),
        ("99999 Much", [TEXT]),
        ("200 OK\r\nx-injected: 1", [TEXT]),
        ("200 OK", None),
        ("200 OK", 5),
        ("200 OK", ["text"]),
        ("200 OK", [("X-One",)]),
        ("200 OK", [("X-One", 1)]),
        ("200 OK", [("X-One", None)]),
        ("200 OK", [(b"X-One", b"1")]),
        ("200 OK", [("X-One", "1\r\nx-injected: 1")]),
        ("200 OK", [("X-One", "1\nx-injected: 1")]),
        ("200 OK", [("X-One", "a\x00b")]),
        ("200 OK", [("X-One\r\nx-injected", "1")]),
        ("200 OK", [("X One", "1")]),
        ("200 OK", [("", "1")]),
        ("200 OK", [("X-Euro", "€")]),
        ("200 OK", [("X-€", "1")]),
    ],
)
def test_a_wrong_head_is_500(bare: Server, status: Any, headers: Any) -> None:
    before = len(bare.lines("Exception in WSGI application"))
    with bare.connect() as client:
        ask(client, status, headers)
        response = client.response()
    assert response.status == 500
    assert "x-injected" not in response
    bare.wait_for_count("Exception in WSGI application", before + 1)
    assert bare.get("/").text == "ok"


@pytest.mark.parametrize("body", [["text"], [b"a", "text"], [5], [None]], ids=repr)
def test_a_portion_that_is_not_bytes_is_an_error(bare: Server, body: Any) -> None:
    before = len(bare.lines("Exception in WSGI application"))
    with bare.connect() as client:
        ask(client, body=body)
        if body[0] == b"a":
            with pytest.raises(CutError):
                client.response()
        else:
            assert client.response().status == 500
    bare.wait_for_count("Exception in WSGI application", before + 1)
    assert bare.get("/").text == "ok"


def test_an_application_that_returns_nothing_is_an_error(bare: Server) -> None:
    before = len(bare.lines("Exception in WSGI application"))
    assert bare.get("/returns_nothing").status == 500
    bare.wait_for_count("Exception in WSGI application", before + 1)
    assert bare.get("/").text == "ok"
