"""WSGI applications that fail: what the client sees, what the log says, and that others go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.client import CutError
from tests.support.server import Server
from tests.wsgi.conftest import Serve

APP = "tests.apps.wsgi_responses:app"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("raises?x", "at once x"),
        ("raises_after_start", "after start"),
        ("raises_before_first", "before first"),
    ],
)
def test_an_error_before_the_first_octet_is_500(fresh: Serve, path: str, text: str) -> None:
    server = fresh(APP)
    response = server.get(f"/{path}")
    assert (response.status, response.reason) == (500, "Internal Server Error")
    assert text not in response.text
    expect_traceback(server, text)
    server.wait_for(rf'"GET /{path.replace("?", ".")} HTTP/1.1" 500')
    assert server.get("/").text == "ok"


@pytest.mark.parametrize(
    ("path", "first", "text"),
    [("raises_within", b"one", "within"), ("raises_after_write", b"written", "after write")],
)
def test_an_error_after_the_first_octet_cuts_the_response(
    fresh: Serve, tmp_path: Path, path: str, first: bytes, text: str
) -> None:
    server = fresh(APP)
    gate = tmp_path / "gate"
    with server.connect() as client:
        client.request("GET", f"/{path}?{gate}")
        response = client.head()
        assert response.status == 200
        assert client.read_chunk() == first
        gate.touch()
        with pytest.raises(CutError):
            client.body(response)
    expect_traceback(server, text)
    assert server.get("/").text == "ok"


def expect_traceback(server: Server, text: str) -> None:
    """One traceback is in the log, on standard error, and shows the application's line."""
    server.wait_for(f"FaultError: {text}$")
    assert len(server.lines("^Traceback")) == 1
    assert [line for line in server.err if line.startswith("ERROR:    Exception in ")]
    assert server.lines(r'wsgi_responses\.py", line \d+, in (raises|portions)')
    assert not server.lines("never retrieved|never awaited|Task was destroyed")


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_error_of_close_is_logged(fresh: Serve, framing: str) -> None:
    server = fresh(APP)
    with server.connect() as client:
        # All of it had been sent.
        assert client.get(f"/raises_at_close?{framing}").text == "whole"
    server.wait_for("FaultError: at close$")
    assert server.get("/").text == "ok"


@pytest.mark.parametrize(
    ("path", "text"), [("exits", "SystemExit: leaving"), ("interrupts", "interrupted")]
)
def test_what_no_application_should_let_out_ends_its_request_only(
    fresh: Serve, path: str, text: str
) -> None:
    server = fresh(APP)
    for number in range(3):
        assert server.get(f"/{path}?{number}").status == 500
        server.wait_for(f"{text} {number}")
    assert server.get("/").text == "ok"
    assert server.process.poll() is None


def test_many_failures_leave_nothing_behind(fresh: Serve) -> None:
    server = fresh(APP)
    for _ in range(20):
        server.get("/raises")
    before = server.descriptors()
    for number in range(300):
        assert server.get("/raises" if number % 2 else "/raises_before_first").status == 500
    assert server.get("/").text == "ok"
    assert server.descriptors() <= before + 1
