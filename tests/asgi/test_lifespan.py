"""The lifespan of an application, from the first line of the log to the status of the process."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.server import Server

APPS = "tests.apps.lifespans:"

STARTED = "INFO:     Application startup complete."
ENDED = "INFO:     Application shutdown complete."
UNSUPPORTED = "INFO:     ASGI 'lifespan' protocol appears unsupported."


def start_fails(app: str, **options: Any) -> Server:
    """Run a server whose start fails: it never listens, and ends with status 3."""
    running = Server(APPS + app, **options)
    try:
        assert running.wait() == 3
        assert not running.lines("running on")
    finally:
        running.kill()
    return running


def test_scope_and_state(server: StartServer, everywhere: dict[str, str]) -> None:
    running = server(APPS + "ordered", **everywhere)
    line = running.wait_for("^lifespan .*")[0]
    assert line == "lifespan {'version': '3.0', 'spec_version': '2.0'} ['asgi', 'state', 'type']"
    assert running.get("/").text == "{'database': 'open'}"


def test_the_application_ends_after_its_last_request(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    running = server(APPS + "ordered", **everywhere)
    with running.connect() as client:
        client.request("POST", "/slow", ("content-length", "1"))
        running.notes("slow began")
        running.send_signal(signal.SIGINT)
        running.wait_for("Waiting for connections to close")
        assert not running.lines("Waiting for application shutdown|^ending")
        client.send(b"!")
        assert client.response().body == b"ok"
        assert client.closed()
    assert running.wait() == 0
    assert [line for line in running.out if line in {"request over", "ending"}] == [
        "request over",
        "ending",
    ]


@pytest.mark.parametrize(
    ("app", "lifespan", "lines"),
    [
        ("ordered", "auto", [STARTED, ENDED]),
        ("ordered", "on", [STARTED, ENDED]),
        ("ordered", "off", []),
        ("unsupported", "auto", [UNSUPPORTED, STARTED]),
        ("unsupported", "off", []),
        ("returning", "auto", [STARTED, ENDED]),
        ("returning", "on", [STARTED, ENDED]),
        ("in_tasks", "on", [STARTED, ENDED]),
    ],
)
def test_a_life(server: StartServer, app: str, lifespan: str, lines: list[str]) -> None:
    running = server(APPS + app, lifespan=lifespan)
    state = "{'database': 'open'}" if app == "ordered" and lifespan != "off" else "{}"
    assert running.get("/").text == state
    assert running.stop() == 0
    assert [line for line in running.log if line in {STARTED, ENDED, UNSUPPORTED}] == lines
    assert not running.lines("^ERROR|Traceback")


@pytest.mark.parametrize(
    ("app", "lifespan", "text"),
    [
        ("failing", "auto", "^ERROR:    the database is closed$"),
        ("failing", "on", "^ERROR:    the database is closed$"),
        ("unsupported", "on", "^ValueError: no lifespan here$"),
        ("raising_at_start", "on", "^ValueError: raised at start$"),
    ],
)
def test_a_start_that_fails(app: str, lifespan: str, text: str) -> None:
    running = start_fails(app, lifespan=lifespan)
    assert running.lines(text)
    assert running.err[-1] == "ERROR:    Application startup failed. Exiting."


@pytest.mark.parametrize(
    ("app", "text"),
    [
        ("failing_at_end", "^ERROR:    the database is stuck$"),
        ("raising_at_end", "^ValueError: raised at end$"),
    ],
)
def test_an_end_that_fails(server: StartServer, app: str, text: str) -> None:
    running = server(APPS + app)
    assert running.get("/").status == 200
    running.stop()
    assert running.lines(text)
    assert "ERROR:    Application shutdown failed. Exiting." in running.err
    assert ENDED not in running.err


def test_a_lifespan_that_crashes_does_not_stop_the_serving(server: StartServer) -> None:
    running = server(APPS + "crashing_while_serving")
    running.get("/crash")
    running.wait_for("^ValueError: raised while serving$")
    running.wait_for("^ERROR:    Exception in 'lifespan' protocol$")
    assert running.get("/").status == 200
    running.stop()
    assert not running.lines("Task exception was never retrieved")
