"""The graceful end as those see it who are told of it: applications, proxies, streams, the log.

What a client gets whose request had begun is `test_graceful.py`'s to say. A delay here is an hour,
so that nothing but what the test does can end it.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from select import select

import pytest
from tests.conftest import StartServer
from tests.support.client import Client, CutError
from tests.support.server import Server

APP = "tests.apps.draining:app"
HOUR = 3600
DRAINS = "^INFO:     Draining for 3600 seconds."

Serve = Callable[..., Server]


@pytest.fixture
def serve(server: StartServer, everywhere: dict[str, str]) -> Serve:
    def start(**options: object) -> Server:
        return server(APP, timeout_keep_alive=60, **everywhere, **options)

    return start


def end_of(server: Server, *, status: int = -signal.SIGTERM) -> None:
    assert server.wait() == status
    assert server.lines("Application shutdown complete")
    assert not server.lines("Traceback|ERROR")


# The drain


def test_readiness_fails_while_serving_goes_on(serve: Serve) -> None:
    fresh = serve(drain_delay=HOUR)
    with fresh.connect() as kept, fresh.connect() as idle:
        for client in (kept, idle):
            response = client.get("/ready")
            assert response.status == 200
            assert "connection" not in response
        fresh.send_signal(signal.SIGTERM)
        fresh.wait_for(DRAINS)
        response = kept.get("/")
        assert response.text == "hello"
        assert response["connection"] == "close"
        assert kept.closed()
        assert fresh.get("/").text == "hello"
        response = fresh.get("/ready")
        assert response.status == 503
        assert response["connection"] == "close"
        assert not fresh.lines("Shutting down")
        fresh.send_signal(signal.SIGTERM)
        fresh.wait_for("Shutting down")
        # It said nothing during the delay, and nobody told it that it ends.
        assert idle.closed()
    end_of(fresh)


def test_the_event_is_waited_for(serve: Serve) -> None:
    fresh = serve(drain_delay=HOUR)
    with ExitStack() as stack:
        clients = [stack.enter_context(fresh.connect()) for _ in range(5)]
        for client in clients:
            client.request("GET", "/drained")
        fresh.notes("waits", 5)
        fresh.send_signal(signal.SIGTERM)
        for client in clients:
            assert client.response().text == "drained"
        # It is there for those who come later.
        assert fresh.get("/drained").text == "drained"
        assert fresh.get("/drained").text == "drained"
    fresh.send_signal(signal.SIGTERM)
    end_of(fresh)


def test_it_is_set_where_there_is_no_delay(serve: Serve) -> None:
    fresh = serve()
    with fresh.connect() as client:
        client.request("GET", "/drained")
        fresh.notes("waits")
        fresh.send_signal(signal.SIGTERM)
        assert client.response().text == "drained"
    end_of(fresh)
    assert not fresh.lines("Draining")


def test_a_delay_has_an_end(serve: Serve) -> None:
    fresh = serve(drain_delay=0.2)
    assert fresh.get("/ready").status == 200
    fresh.send_signal(signal.SIGTERM)
    end_of(fresh)
    lines = [line.removeprefix("INFO:").strip() for line in fresh.err]
    start = lines.index("Draining for 0.2 seconds. (CTRL+C to end now)")
    assert lines[start + 1] == "Shutting down"


STARTS_SLOWLY = """
import asyncio, pathlib

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    print("starts", flush=True)
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
"""


def test_an_end_during_the_start_has_no_delay(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(STARTS_SLOWLY)
    fresh = Server("slow:app", app_dir=tmp_path, cwd=tmp_path, drain_delay=HOUR)
    try:
        fresh.wait_for("^starts$")
        fresh.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        end_of(fresh)
    finally:
        fresh.kill()
    assert not fresh.lines("Draining")


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_the_delay_and_no_request(
    serve: Serve, tmp_path: Path, first: int
) -> None:
    fresh = serve(drain_delay=HOUR)
    go = tmp_path / "go"
    with fresh.connect() as client:
        client.request("GET", f"/waits_for?{go}")
        fresh.notes("waits")
        fresh.send_signal(first)
        fresh.wait_for(DRAINS)
        second = signal.SIGINT if first == signal.SIGTERM else signal.SIGTERM
        fresh.send_signal(second)
        fresh.wait_for("Waiting for connections to close")
        go.touch()
        assert client.response().text == "waited"
    end_of(fresh)


# Event streams


@pytest.mark.parametrize("end", ["returns", "cancelled", "completes", "trailers"])
def test_an_event_stream_is_told_and_ended(serve: Serve, end: str) -> None:
    fresh = serve()
    with fresh.connect() as client:
        client.request("GET", f"/events/event-stream/{end}")
        response = client.head()
        assert client.read_chunk() == b"first"
        fresh.notes("streams")
        fresh.send_signal(signal.SIGTERM)
        assert client.body(response).body == b"last"
        assert client.closed()
    end_of(fresh)


@pytest.mark.parametrize("kind", ["EVENT-stream;charset=utf-8", "event-stream"])
def test_an_event_stream_that_begins_after_the_stop_is_told(
    serve: Serve, tmp_path: Path, kind: str
) -> None:
    fresh = serve()
    go = tmp_path / "go"
    with fresh.connect() as client:
        client.request("GET", f"/events/{kind}/returns?{go}")
        fresh.notes("waits")
        fresh.send_signal(signal.SIGTERM)
        fresh.wait_for("Waiting for connections to close")
        go.touch()
        assert client.response().body == b"firstlast"
    end_of(fresh)


def test_none_is_told_during_the_delay(serve: Serve) -> None:
    fresh = serve(drain_delay=HOUR)
    with fresh.connect() as client:
        client.request("GET", "/events/event-stream/returns")
        response = client.head()
        fresh.notes("streams")
        fresh.send_signal(signal.SIGTERM)
        fresh.wait_for(DRAINS)
        with fresh.connect() as other:
            other.request("GET", "/notes/told")
            assert fresh.get("/ready").status == 503
            assert select([other.sock], [], [], 0)[0] == []
            fresh.send_signal(signal.SIGTERM)
            assert client.body(response).body == b"firstlast"
            assert other.response().status == 200
    end_of(fresh)


def test_a_stream_that_looks_at_the_event_ends_in_the_delay(serve: Serve) -> None:
    fresh = serve(drain_delay=HOUR)
    with fresh.connect() as client:
        client.request("GET", "/events_until_drained")
        response = client.head()
        fresh.send_signal(signal.SIGTERM)
        assert client.body(response).body == b"first"
        fresh.wait_for(DRAINS)
    fresh.send_signal(signal.SIGTERM)
    end_of(fresh)


@pytest.mark.parametrize("end", ["raises", "too_short"])
def test_a_stream_that_fails_is_cut(serve: Serve, end: str) -> None:
    fresh = serve()
    with fresh.connect() as client:
        client.request("GET", f"/events/event-stream/{end}")
        fresh.notes("streams")
        fresh.send_signal(signal.SIGTERM)
        with pytest.raises(CutError):
            client.response()
    assert fresh.wait() == -signal.SIGTERM
    assert fresh.lines("Exception in ASGI application|returned without completing response")


def test_other_streams_are_not_told(serve: Serve, tmp_path: Path) -> None:
    fresh = serve()
    go = tmp_path / "go"
    with fresh.connect() as client, fresh.connect() as other:
        client.request("GET", f"/unheard?{go}")
        # The name is not enough, nor is its beginning.
        other.request("GET", "/events/event-streams/returns")
        other.head()
        fresh.notes("waits")
        fresh.notes("streams")
        fresh.send_signal(signal.SIGTERM)
        fresh.wait_for("Waiting for connections to close")
        go.touch()
        assert client.response().text == "first-stayed"
        assert other.read_chunk() == b"first"
    end_of(fresh)


def test_a_download_of_starlette_is_finished(serve: Serve, tmp_path: Path) -> None:
    fresh = serve()
    go = tmp_path / "go"
    with fresh.connect() as client:
        client.request("GET", f"/starlette?{go}")
        fresh.notes("waits")
        fresh.send_signal(signal.SIGTERM)
        fresh.wait_for("Waiting for connections to close")
        go.touch()
        assert client.response().text == "first-last"
    end_of(fresh)


@pytest.mark.parametrize("route", ["sse", "sse_of_starlette"])
def test_events_of_starlette_end(serve: Serve, route: str) -> None:
    fresh = serve()
    with fresh.connect() as client:
        client.request("GET", f"/{route}")
        fresh.notes("waits")
        fresh.send_signal(signal.SIGTERM)
        assert client.response().text.strip() == "data: first"
        assert client.closed()
    end_of(fresh)


# The table


def rows_of(server: Server, title: str = "Still in flight:") -> dict[str, str]:
    """Return the table's rows: the state of each client's request, without the address."""
    lines = server.err[server.err.index(f"ERROR:    {title}") + 1 :]
    assert lines[0].split() == ["seconds", "client", "request", "state"]
    rows = {}
    for line in lines[1:]:
        found = re.fullmatch(r" *\d+\.\d  127\.0\.0\.1:\d+ +((?:GET|POST) \S+|-)  +(\S.*)", line)
        if found is None:
            break
        rows[found[1]] = found[2]
    return rows


HOSTILE = "/works/%0d%0aERROR:%1b[31m?q=%0a%1b"


def busy(server: Server, stack: ExitStack) -> list[Client]:
    """Bring a connection into each state that holds a server."""
    clients = [stack.enter_context(server.connect()) for _ in range(5)]
    clients[0].request("GET", HOSTILE)
    clients[1].request("GET", "/works_on")
    clients[2].request("POST", "/reads", ("content-length", "10"))
    clients[3].request("GET", "/floods")
    clients[4].send(b"GET / HTTP/1.1\r\nhos")
    server.notes("waits", 4)
    return clients


IN_FLIGHT = {
    "GET /works/%0D%0AERROR%3A%1B%5B31m?q=%0a%1b": "waits for the application",
    "GET /works_on": "connection closed, application still running",
    "POST /reads": "waits for the request body",
    "GET /floods": "waits for the client to read",
    "-": "request head incomplete",
}


def test_what_is_cut_off_at_the_end_of_patience_is_listed(serve: Serve) -> None:
    fresh = serve(timeout_graceful_shutdown=0.2)
    with ExitStack() as stack:
        busy(fresh, stack)
        assert fresh.stop(signal.SIGTERM) == -signal.SIGTERM
    place = fresh.err.index("ERROR:    Still in flight:")
    assert fresh.err[place - 1].endswith(
        "Cancel 4 running task(s), timeout graceful shutdown exceeded"
    )
    assert rows_of(fresh) == IN_FLIGHT


def test_what_is_cut_off_by_force_is_listed(serve: Serve) -> None:
    fresh = serve()
    with ExitStack() as stack:
        busy(fresh, stack)
        fresh.send_signal(signal.SIGINT)
        fresh.wait_for("Waiting for connections to close")
        fresh.send_signal(signal.SIGINT)
        assert fresh.wait() == 0
    assert rows_of(fresh) == IN_FLIGHT


def test_an_end_by_force_of_nothing_lists_nothing(serve: Serve) -> None:
    fresh = serve(drain_delay=HOUR)
    with fresh.connect() as client:
        assert client.get("/").text == "hello"
        fresh.send_signal(signal.SIGINT)
        fresh.wait_for(DRAINS)
        fresh.send_signal(signal.SIGINT)
        assert fresh.wait() == 0
    assert not fresh.lines("in flight")


# Several workers

COMPLETE = "Application startup complete"
FINISHED = r"Finished server process \[(\d+)\]"


@pytest.fixture
def two(server: StartServer) -> Server:
    fresh = server(APP, workers=2, drain_delay=HOUR)
    fresh.wait_for_count(COMPLETE, 2)
    return fresh


def all_drain(server: Server) -> None:
    """Wait until every worker says that it does."""
    server.wait_for("Draining for 3600 seconds")
    # Whoever has said it once will say it again.
    saying = 0
    while saying < 20:
        saying = saying + 1 if server.get("/ready").status == 503 else 0


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_workers_serve_during_the_delay_of_their_parent(two: Server, first: int) -> None:
    two.send_signal(first)
    all_drain(two)
    assert two.get("/")["connection"] == "close"
    assert not two.lines("Shutting down")
    two.send_signal(signal.SIGTERM)
    assert two.wait() == 0
    assert len(two.lines(FINISHED)) == 2
    assert not two.lines("Traceback|ERROR")


def test_a_replacement_has_no_delay(two: Server) -> None:
    two.send_signal(signal.SIGHUP)
    two.wait_for_count(FINISHED, 2)
    assert not two.lines("Draining")
    assert two.get("/ready").status == 200
    two.send_signal(signal.SIGTERM)
    two.wait_for("Draining for 3600 seconds")
    two.send_signal(signal.SIGTERM)
    assert two.wait() == 0


def test_a_worker_that_dies_during_the_delay_is_not_replaced(two: Server) -> None:
    two.send_signal(signal.SIGTERM)
    all_drain(two)
    pids = [int(line.split("[")[1].split("]")[0]) for line in two.lines("Started server process")]
    os.kill(pids[0], signal.SIGKILL)
    two.wait_for(rf"Child process \[{pids[0]}\] died \(killed by SIGKILL")
    assert two.get("/").text == "hello"
    os.kill(pids[1], signal.SIGKILL)
    # Nobody is left to serve, so there is nothing to wait for.
    assert two.wait() == 0
    assert len(two.lines(COMPLETE)) == 2


def test_the_second_interrupt_is_passed_on(two: Server) -> None:
    with two.connect() as client:
        client.request("GET", "/works")
        two.wait_for("^works$")
        two.send_signal(signal.SIGINT)
        two.wait_for("Draining for 3600 seconds")
        two.send_signal(signal.SIGINT)
        assert two.wait() == 0
    assert two.lines("GET /works +waits for the application")


def test_a_worker_lists_what_it_does_on_demand(server: StartServer) -> None:
    fresh = server(APP, worker_lifetime=HOUR, timeout_graceful_shutdown=0)
    pid = int(fresh.wait_for(r"Started server process \[(\d+)\]")[1])
    with ExitStack() as stack:
        busy(fresh, stack)
        os.kill(pid, signal.SIGQUIT)
        fresh.wait_for(rf"Process \[{pid}\] has 4 request\(s\) in flight on \d connection\(s\)")
        fresh.wait_for_count(" (application|still running|body|read|incomplete)$", 5)
        after = "response complete, application still running"
        listed = rows_of(fresh, rf"In flight in process [{pid}]:")
        assert listed == {**IN_FLIGHT, "GET /works_on": after}
    assert fresh.stop(signal.SIGTERM) == 0


def test_a_terminal_tells_the_workers_too(server: StartServer) -> None:
    """Ctrl+C reaches the whole group: the workers serve on as long as their parent waits."""
    fresh = server(APP, workers=2, drain_delay=HOUR, prefix=["setsid"])
    serving: set[str] = set()
    while len(serving) < 2:
        serving.add(fresh.get("/pid").text)
    group = os.getpgid(fresh.pid)
    os.killpg(group, signal.SIGINT)
    fresh.wait_for_count("Draining for 3600 seconds", 3)
    assert fresh.get("/ready").status == 503
    assert not fresh.lines("Shutting down")
    fresh.send_signal(signal.SIGTERM)
    assert fresh.wait() == 0
    assert len(fresh.lines(FINISHED)) == 2
