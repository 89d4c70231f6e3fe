"""SIGINT and SIGTERM, once and again, whatever the server is doing at that moment.

The first asks for a graceful end (`test_graceful.py` is about what clients see of that); a second
SIGINT is meant. Which signals came is seen in the status: SIGTERM is what the process dies of in
the end, SIGINT is a wish that was fulfilled.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import StartServer
from tests.support.client import Client, request
from tests.support.server import Server

APP = "tests.apps.ending:app"

WAITING = "Waiting for connections to close"
FORCED = "lifespan over|Waiting for application shutdown"


def idle(client: Client) -> None:
    assert client.get("/").status == 200


def in_head(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nhos")


def in_body(client: Client) -> None:
    client.request("POST", "/reads", ("content-length", "5"))
    client.send(b"abc")


def at_work(client: Client) -> None:
    client.request("GET", "/works")


def in_response(client: Client) -> None:
    client.request("GET", "/streams")
    client.head()


BUSY = [in_body, at_work, in_response]

Phase = Callable[[Client], None]


@pytest.fixture
def fresh(server: StartServer, everywhere: dict[str, str]) -> Server:
    return server(APP, **everywhere)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])
def test_nobody_is_there(fresh: Server, number: int, status: int) -> None:
    assert fresh.stop(number) == status
    assert fresh.lines("^lifespan over$")
    assert not fresh.lines(WAITING)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])
def test_a_client_is_idle(fresh: Server, number: int, status: int) -> None:
    with fresh.connect() as client:
        idle(client)
        assert fresh.stop(number) == status
        assert client.closed()
    assert fresh.lines("^lifespan over$")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])
def test_a_client_in_its_body_may_end_it(fresh: Server, number: int, status: int) -> None:
    with fresh.connect() as client:
        in_body(client)
        fresh.notes("busy")
        fresh.send_signal(number)
        fresh.wait_for(WAITING)
        client.send(b"de")
        response = client.response()
        assert response.body == b"abcde"
        assert response["connection"] == "close"
        assert client.closed()
    assert fresh.wait() == status
    assert fresh.lines("^lifespan over$")


@pytest.mark.parametrize("phase", BUSY)
def test_a_second_interrupt_waits_for_nobody(fresh: Server, phase: Phase) -> None:
    with fresh.connect() as client:
        phase(client)
        fresh.notes("busy")
        fresh.send_signal(signal.SIGINT)
        fresh.wait_for(WAITING)
        fresh.send_signal(signal.SIGINT)
        assert fresh.wait() == 0
    assert not fresh.lines(FORCED)


def test_a_second_interrupt_while_a_head_is_on_its_way(fresh: Server) -> None:
    with fresh.connect() as client:
        in_head(client)
        fresh.get("/")
        fresh.send_signal(signal.SIGINT)
        fresh.wait_for("Shutting down")
        fresh.send_signal(signal.SIGINT)
        assert fresh.wait() == 0


def test_a_second_termination_is_no_insistence(fresh: Server) -> None:
    with fresh.connect() as client:
        in_body(client)
        fresh.notes("busy")
        fresh.send_signal(signal.SIGTERM)
        fresh.wait_for(WAITING)
        fresh.send_signal(signal.SIGTERM)
        client.send(b"de")
        assert client.response().body == b"abcde"
    assert fresh.wait() == -signal.SIGTERM
    assert fresh.lines("^lifespan over$")


def test_an_interrupt_after_a_termination_is_one(fresh: Server) -> None:
    with fresh.connect() as client:
        at_work(client)
        fresh.notes("busy")
        fresh.send_signal(signal.SIGTERM)
        fresh.wait_for(WAITING)
        fresh.send_signal(signal.SIGINT)
        fresh.wait()
    assert not fresh.lines(FORCED)


@pytest.mark.parametrize("phase", BUSY)
def test_patience_has_a_limit(
    server: StartServer, everywhere: dict[str, str], phase: Phase
) -> None:
    fresh = server(APP, timeout_graceful_shutdown=0.2, **everywhere)
    with fresh.connect() as client:
        phase(client)
        fresh.notes("busy")
        assert fresh.stop(signal.SIGTERM) == -signal.SIGTERM
    assert fresh.lines(
        r"^ERROR:    Cancel 1 running task\(s\), timeout graceful shutdown exceeded$"
    )
    # The lifespan ends after the requests have, so that they clean up with what it provides.
    assert fresh.out[-1] == "lifespan over"
    assert bool(fresh.lines("^cleaned up$")) == (phase is at_work)


def test_work_after_the_response_is_waited_for(fresh: Server, tmp_path: Path) -> None:
    assert fresh.get(f"/works_on?{tmp_path / 'go'}").status == 200
    fresh.notes("busy")
    fresh.send_signal(signal.SIGTERM)
    fresh.wait_for("Waiting for background tasks to complete")
    (tmp_path / "go").touch()
    assert fresh.wait() == -signal.SIGTERM
    assert fresh.out[-2:] == ["worked on", "lifespan over"]


def test_a_signal_while_the_loop_is_held(fresh: Server, tmp_path: Path) -> None:
    with fresh.connect() as client:
        client.send(request("GET", f"/holds_the_loop?{tmp_path / 'go'}"))
        fresh.wait_for("^holding$")
        fresh.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert client.response().status == 200
    assert fresh.wait() == -signal.SIGTERM
    assert fresh.lines("^lifespan over$")
