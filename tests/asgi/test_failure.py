"""Applications that fail: what the client sees, what the log says, and that the server goes on."""

from __future__ import annotations

import pytest
from tests.conftest import StartServer
from tests.support.client import Client, CutError
from tests.support.server import Server

APP = "tests.apps.sending:app"

EXCEPTION = "^ERROR:    Exception in ASGI application$"


@pytest.fixture
def fresh(server: StartServer) -> Server:
    return server(APP)


def expect_500(client: Client) -> None:
    response = client.response()
    assert (response.status, response.reason) == (500, "Internal Server Error")
    assert response["content-type"].startswith("text/plain")
    assert response["connection"] == "close"
    assert response.body == b"Internal Server Error"
    assert client.closed()


def expect_cut(client: Client) -> None:
    with pytest.raises(CutError):
        client.response()


def expect_whole(client: Client) -> None:
    assert client.response().body == b"whole"


CLIENTS = {"500": expect_500, "cut": expect_cut, "whole": expect_whole}


@pytest.mark.parametrize(
    ("name", "client_gets", "text"),
    [
        ("at_once", "500", "at once"),
        ("after_wait", "500", "after wait"),
        ("after_start", "cut", "after start"),
        ("within_body", "cut", "within body"),
        ("after_end", "whole", "after end"),
        ("group", "500", "several"),
        ("stop", "500", "stop"),
    ],
)
def test_an_exception(
    server: StartServer, everywhere: dict[str, str], name: str, client_gets: str, text: str
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", f"/raises_{name}")
        CLIENTS[client_gets](client)
    fresh.wait_for(rf"Error: {text}$|StopAsyncIteration: {text}$")
    assert fresh.get("/").status == 200
    fresh.stop()
    assert len(fresh.lines(EXCEPTION)) == 1
    assert len(fresh.lines("^Traceback")) == (2 if name == "group" else 1)
    # The traceback shows the application's line, and nothing is said by asyncio.
    assert fresh.lines(r'sending\.py", line \d+, in raises')
    assert not fresh.lines("never retrieved|never awaited|Task was destroyed|Unhandled")


def test_an_exception_is_logged_on_standard_error(fresh: Server) -> None:
    fresh.get("/raises_at_once")
    fresh.wait_for("FaultError: at once$")
    assert "ERROR:    Exception in ASGI application" in fresh.err
    assert not any("FaultError" in line for line in fresh.out)
    fresh.wait_for('"GET /raises_at_once HTTP/1.1" 500 Internal Server Error$')


def test_an_exception_after_the_client_left_is_logged(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", "/raises_when_left")
    fresh.wait_for("FaultError: when left$")
    assert fresh.get("/").status == 200
    fresh.stop()
    assert len(fresh.lines(EXCEPTION)) == 1


@pytest.mark.parametrize(
    "name", ["raises_cancelled", "cancels_itself", "raises_generator_exit", "raises_system_exit"]
)
def test_what_no_application_should_let_out_ends_its_request_only(
    server: StartServer, everywhere: dict[str, str], name: str
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", f"/{name}")
        expect_500(client)
    fresh.wait_for(EXCEPTION)
    assert fresh.get("/").status == 200


@pytest.mark.parametrize(
    ("name", "client_gets", "line"),
    [
        ("at_once", "500", "ASGI callable returned without starting response."),
        ("after_start", "cut", "ASGI callable returned without completing response."),
        ("within_body", "cut", "ASGI callable returned without completing response."),
    ],
)
def test_an_application_that_returns_too_early(
    server: StartServer, everywhere: dict[str, str], name: str, client_gets: str, line: str
) -> None:
    fresh = server(APP, **everywhere)
    with fresh.connect() as client:
        client.request("GET", f"/returns_{name}")
        CLIENTS[client_gets](client)
    fresh.wait_for(f"^ERROR:    {line}$")
    assert fresh.get("/").status == 200


def test_an_application_that_returns_something(fresh: Server) -> None:
    assert fresh.get("/returns_something").body == b"ok"
    fresh.wait_for("^ERROR:    ASGI callable should return None, but returned '42'.$")


def test_a_task_that_cannot_be_made_does_not_hold_up_the_end(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    assert fresh.get("/breaks_the_factory").status == 200
    assert fresh.get("/").status == 500
    fresh.wait_for("FaultError: no task$")
    assert fresh.get("/").status == 200
    fresh.stop()
    assert not fresh.lines("Waiting for background tasks")


def test_a_thousand_failures_leave_nothing_behind(fresh: Server) -> None:
    fresh.get("/raises_at_once")
    before = fresh.descriptors()
    for _ in range(1000):
        assert fresh.get("/raises_at_once").status == 500
    assert fresh.get("/").status == 200
    assert fresh.descriptors() <= before + 1
