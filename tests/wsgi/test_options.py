"""Options that have another meaning for WSGI applications than for ASGI ones, or none."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from tests.conftest import LOOPS, StartServer
from tests.support.server import Server
from tests.wsgi.conftest import Serve

APP = "tests.apps.wsgi_requests:app"
PLAIN = "tests.apps.wsgi_introduction:simple_wsgi_app"
STARTED = "Waiting for application startup|Application startup complete"

UPGRADE = (
    ("upgrade", "websocket"),
    ("connection", "upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


def expect_quiet(server: Server) -> None:
    assert not server.lines("ERROR|WARNING|Traceback")


@pytest.mark.parametrize("options", [{}, {"ws": "wsproto", "ws_max_size": 10}, {"ws": "none"}])
def test_there_is_no_websocket(fresh: Serve, options: dict[str, Any]) -> None:
    server = fresh(APP, **options)
    with server.connect() as client:
        # RFC 9110, section 7.8: an upgrade may be ignored, and the request is served.
        for _ in range(2):
            told = client.get("/environ", *UPGRADE)
            assert told.status == 200
            assert told.json()["HTTP_UPGRADE"] == "websocket"
            assert "connection" not in told
    server.wait_for_count("WARNING:  Unsupported upgrade request.", 2)
    server.wait_for_count('"GET /environ HTTP/1.1" 200 OK', 2)
    assert not server.lines("ERROR")


@pytest.mark.parametrize("lifespan", ["auto", "on", "off"])
def test_there_is_no_lifespan_and_nobody_misses_it(server: StartServer, lifespan: str) -> None:
    running = server(PLAIN, lifespan=lifespan)
    assert running.get("/").status == 200
    running.stop()
    # Whoever waits for these lines gets them.
    assert len(running.lines(STARTED)) == (0 if lifespan == "off" else 2)
    assert len(running.lines("application shutdown|Application shutdown")) == (
        0 if lifespan == "off" else 2
    )
    expect_quiet(running)


@pytest.mark.parametrize("loop", LOOPS)
def test_any_loop_looks_on(served: Serve, loop: str) -> None:
    server = served(PLAIN, loop=loop)
    assert server.get("/").body == b"Hello, world!\n"
    expect_quiet(server)


@pytest.mark.parametrize("driver", ["auto", "reactor", "protocol"])
def test_any_driver_drives_threads(served: Serve, driver: str) -> None:
    server = served(PLAIN, driver=driver)
    assert server.get("/").body == b"Hello, world!\n"
    expect_quiet(server)


def test_the_native_core_serves_whatever_is_asked_for(fresh: Serve) -> None:
    server = fresh(PLAIN, http="h11")
    server.wait_for("The native HTTP core serves in the place of 'h11'")
    assert server.get("/").status == 200


def test_trace_traces_no_messages(fresh: Serve) -> None:
    server = fresh(PLAIN, log_level="trace")
    assert server.get("/").status == 200
    expect_quiet(server)


def test_an_id_that_is_logged_is_the_applications_too(fresh: Serve) -> None:
    server = fresh(APP, access_log_format="%(U)s %(request_id)s!")
    made = server.get("/environ").json()["HTTP_X_REQUEST_ID"]
    assert re.fullmatch("[0-9a-f]{24,}", made)
    server.wait_for(f"^/environ {made}!$")
    given = server.get("/environ", ("X-Request-ID", "mine")).json()["HTTP_X_REQUEST_ID"]
    assert given == "mine"
    server.wait_for("^/environ mine!$")
    # Of two that differ, the application would see both.
    two = (("x-request-id", "one"), ("x-request-id", "two"))
    other = server.get("/environ", *two).json()["HTTP_X_REQUEST_ID"]
    assert re.fullmatch("[0-9a-f]{24,}", other)
    server.wait_for(f"^/environ {other}!$")


def test_an_id_that_is_not_logged_is_not_made(served: Serve) -> None:
    assert "HTTP_X_REQUEST_ID" not in served(APP).get("/environ").json()


def test_the_application_knows_of_the_drain(fresh: Serve) -> None:
    server = fresh(APP, drain_delay=3600)
    assert server.get("/drains").json() is False
    server.send_signal(signal.SIGTERM)
    server.wait_for("Draining for 3600 seconds")
    response = server.get("/drains")
    assert response.json() is True
    assert response["connection"] == "close"
    server.stop(signal.SIGTERM)
