"""Requests that the application does not come back from: `--wsgi-timeout`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hostile.test_floods import wait_until
from tests.support.client import CutError
from tests.support.server import Server
from tests.wsgi.conftest import Serve

APP = "tests.apps.wsgi_threads:app"
BARE = "tests.apps.wsgi_threads:bare"
SHORT = 0.2


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def pid_of(server: Server) -> int:
    return int(server.get("/pid").text)


def test_the_client_gets_504_and_the_log_the_stack(fresh: Serve, gate: Path) -> None:
    server = fresh(APP, threads=8, wsgi_timeout=SHORT)
    with server.connect() as client:
        client.request("GET", f"/held?{gate}")
        response = client.response()
        assert response.status == 504
        assert response["connection"] == "close"
        assert client.closed()
    server.wait_for(r"GET /held\?\S+ has run for 0\.\d seconds; its client was answered 504")
    server.wait_for(r"File .*wsgi_threads\.py.* in held")
    server.wait_for(r'"GET /held\?\S+ HTTP/1.1" 504 Gateway Timeout')
    assert server.get("/").text == "ok"


def test_what_it_says_later_reaches_nobody(fresh: Serve, gate: Path) -> None:
    server = fresh(BARE, threads=2, wsgi_timeout=SHORT, workers=1)
    with server.connect() as client:
        client.request("GET", f"/held_in_the_middle?{gate}")
        with pytest.raises(CutError):
            client.response()
    server.wait_for("Its thread:")
    gate.touch()
    assert server.get("/").text == "ok"
    server.stop()
    assert not server.lines("Exception in WSGI")
    assert not server.lines("NOTE went on"), "somebody took what it gave"


def test_who_is_in_time_is_let_be(fresh: Serve) -> None:
    server = fresh(APP, threads=2, wsgi_timeout=60)
    assert [server.get("/counted").status for _ in range(20)] == [200] * 20
    assert not server.lines("Its thread:")


def test_half_of_the_threads_lost_is_a_reason_for_another_process(fresh: Serve, gate: Path) -> None:
    server = fresh(APP, threads=4, wsgi_timeout=SHORT)
    first = pid_of(server)
    with server.connect() as one, server.connect() as other:
        one.request("GET", f"/held?{gate}")
        assert one.response().status == 504
        assert pid_of(server) == first
        other.request("GET", f"/held?{gate}")
        assert other.response().status == 504
    server.wait_for(r"2 of 4 threads are stuck\. Waiting for a replacement\.")
    wait_until(lambda: pid_of(server) != first)
    server.wait_for(rf"Finished server process \[{first}\]")
    assert server.stop() == 0


def test_the_last_thread_may_be_lost(fresh: Serve, gate: Path) -> None:
    server = fresh(APP, threads=1, wsgi_timeout=SHORT)
    first = pid_of(server)
    with server.connect() as client, server.connect() as waiting:
        client.request("GET", f"/held?{gate}")
        server.wait_for("NOTE held")
        waiting.request("GET", "/")
        assert client.response().status == 504
        wait_until(lambda: server.lines("Waiting for a replacement"))
        gate.touch()
        # It stood in the queue of the process that is replaced.
        assert waiting.response().status == 200
    wait_until(lambda: pid_of(server) != first)


def test_a_thread_that_is_stuck_does_not_hold_the_end_up(fresh: Serve, gate: Path) -> None:
    server = fresh(APP, threads=8, wsgi_timeout=SHORT)
    with server.connect() as client:
        client.request("GET", f"/held?{gate}")
        assert client.response().status == 504
    assert server.stop() == 0
    assert not server.lines("Waiting for background tasks")


def test_it_is_for_wsgi_only(fresh: Serve) -> None:
    server = fresh("tests.apps.example:app", wsgi_timeout=SHORT)
    assert server.get("/").status == 200
