"""The process around a WSGI application: its workers, its end in every phase, what it logs.

The parents are those of ASGI applications, and `tests/process` is about what they do by themselves.
Here is seen that threads change nothing: no request is lost when a worker is replaced, what is
under way is finished, and who only waits for something is not taken for hung.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.process.test_reload import DETECTED, ENDED, write
from tests.process.test_workers import FINISHED, STARTED, TERMINATED, numbers, workers
from tests.support.client import Client, CutError
from tests.support.load import Load
from tests.support.server import Server
from tests.wsgi.conftest import Serve
from tests.wsgi.test_threads import expect_seen, slow_reader

APP = "tests.apps.wsgi_working:app"
SIZE = 1 << 20

WAITING = "Waiting for connections to close"
COMPLETED = "Application shutdown complete"

SOURCE = """
def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [{body!r}.encode()]
"""

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of Unix")


# Workers


def test_all_workers_serve_until_the_end_of_all(fresh: Serve) -> None:
    server = fresh(APP, workers=2)
    pids = workers(server)
    with Load(server) as load:
        load.wait_until(lambda: set(load.bodies) >= set(map(str, pids)))
    assert not load.failures
    assert server.stop(signal.SIGTERM) == 0
    assert sorted(numbers(server.lines(FINISHED))) == sorted(pids)
    assert server.log[-1].endswith(f"Stopping parent process [{server.pid}]")


def test_a_hangup_replaces_workers_and_loses_no_request(fresh: Serve) -> None:
    server = fresh(APP, workers=2)
    before = workers(server)
    with Load(server) as load:
        load.wait_for_more()
        server.send_signal(signal.SIGHUP)
        server.wait_for_count(TERMINATED, 2)
        load.wait_for_answer_of(numbers(server.lines(STARTED))[2:])
    assert not load.failures
    assert sorted(numbers(server.lines(TERMINATED))) == sorted(before)


def test_a_limit_of_requests_replaces_workers_and_loses_none(fresh: Serve) -> None:
    server = fresh(APP, workers=2, limit_max_requests=100, limit_max_requests_jitter=50)
    with Load(server):
        server.wait_for_count(FINISHED, 2)
    with Load(server) as load:
        load.wait_for_more()
    assert not load.failures
    assert server.lines("it has reached its limit and asks for it")


def test_a_preloaded_application_is_imported_once(fresh: Serve) -> None:
    server = fresh(APP, workers=2, preload=True)
    pids = workers(server)
    with Load(server, "/importer") as load:
        load.wait_for_more()
        server.send_signal(signal.SIGHUP)
        server.wait_for_count(TERMINATED, 2)
        load.wait_for_more()
    assert not load.failures
    assert len(load.bodies) == 1
    assert {int(pid) for pid in load.bodies}.isdisjoint(pids)


def test_a_worker_that_grew_is_replaced(fresh: Serve) -> None:
    server = fresh(APP, worker_max_rss=200)
    (pid,) = workers(server, 1)
    assert int(server.get("/grows?200").text) == pid
    server.wait_for(rf"Replacing child process \[{pid}\]: it uses \d+ MiB of memory")
    server.wait_for(rf"Finished server process \[{pid}\]")
    assert int(server.get("/").text) != pid


def test_a_worker_that_grew_old_is_replaced_when_its_requests_are_over(
    fresh: Serve, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    server = fresh(APP, worker_lifetime=1)
    (pid,) = workers(server, 1)
    with server.connect() as client:
        client.request("GET", f"/waits_for?{go}")
        server.wait_for("^NOTE working$")
        server.wait_for(rf"Replacing child process \[{pid}\]: it is \d+ seconds old")
        server.wait_for(WAITING)
        assert int(server.get("/").text) != pid
        go.touch()
        assert int(client.response().text) == pid
    server.wait_for(rf"Finished server process \[{pid}\]")


def test_a_worker_whose_threads_all_wait_is_not_hung(fresh: Serve) -> None:
    server = fresh(APP, workers=2, threads=2, timeout_worker_healthcheck=1)
    pids = workers(server)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(server.get, ["/sleeps?2"] * 8))
    assert {int(answer.text) for answer in answers} <= set(pids)
    assert not server.lines("has not turned|Replacing")


def test_a_thread_that_holds_the_interpreter_is_a_hang(fresh: Serve) -> None:
    server = fresh(APP, workers=2, timeout_worker_healthcheck=1)
    workers(server)
    with server.connect() as client:
        client.request("GET", "/holds_the_interpreter")
        line = server.wait_for(r"Replacing child process \[(\d+)\]: its event loop has not turned")
        server.wait_for(r'wsgi_working\.py", line \d+ in holds_the_interpreter')
        server.wait_for(rf"Child process \[{line[1]}\] died \(hung, killed by SIGKILL\)")
        assert client.closed()
    assert int(server.get("/").text) in set(workers(server, 3)) - {int(line[1])}


def test_a_worker_that_is_killed_takes_nobody_with_it(fresh: Serve, tmp_path: Path) -> None:
    server = fresh(APP, workers=2)
    pids = workers(server)
    with server.connect() as client:
        client.request("GET", f"/waits_for?{tmp_path / 'never'}")
        server.wait_for("^NOTE working$")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert client.closed()
    assert int(server.get("/").text) in workers(server, 3)


def test_a_change_of_the_source_is_served_and_no_request_is_lost(
    fresh: Serve, tmp_path: Path
) -> None:
    write(tmp_path, "one", SOURCE)
    server = fresh(
        "edited:app",
        cwd=tmp_path,
        reload=True,
        reload_delay=0.05,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    with Load(server) as load:
        load.wait_until(lambda: "one" in load.bodies)
        write(tmp_path, "two", SOURCE)
        server.wait_for(DETECTED)
        load.wait_until(lambda: "two" in load.bodies)
        server.wait_for(ENDED)
    assert not load.failures
    assert server.stop() == 0


# The end


def idle(client: Client, _: Path) -> None:
    assert client.get("/").status == 200


def in_head(client: Client, _: Path) -> None:
    client.send(b"POST /reads HTTP/1.1\r\nhost: a\r\ncontent-le")


def in_body(client: Client, _: Path) -> None:
    client.send(b"POST /reads HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nhalf")


def at_work(client: Client, go: Path) -> None:
    client.request("GET", f"/waits_for?{go}")


def in_response(client: Client, go: Path) -> None:
    client.request("GET", f"/halves?{go}")
    response = client.head()
    assert client.read_chunk() == b"one "
    assert response.status == 200


def read_slowly(client: Client, _: Path) -> None:
    client.request("GET", "/mebibytes?8")


Phase = Callable[[Client, Path], None]


def is_finished(client: Client, phase: Phase, go: Path) -> None:
    """See that what was under way is answered whole, and the connection closed."""
    if phase is in_response:
        go.touch()
        assert client.read_chunk() == b"two"
        assert client.read_chunk() == b""
        assert client.exactly(2) == b"\r\n"
    else:
        if phase is in_head:
            client.send(b"ngth: 8\r\n\r\nhalfhalf")
        elif phase is in_body:
            client.send(b"half")
        go.touch()
        response = client.response()
        assert response.status == 200
        if phase in (in_head, in_body):
            assert response.text == "halfhalf"
        elif phase is read_slowly:
            assert response.body == bytes(8 * SIZE)
        if phase is not read_slowly:
            assert response["connection"] == "close"
    assert client.closed()


def is_there(server: Server, phase: Phase) -> None:
    """Wait until the server is in this phase with its client."""
    if phase is at_work:
        server.wait_for("^NOTE working$")
    elif phase is read_slowly:
        # The application is through with it.
        server.wait_for("^NOTE given$")
    else:
        expect_seen(server)


ENDS = pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])


@ENDS
@pytest.mark.parametrize("phase", [in_head, in_body, at_work, in_response, read_slowly])
def test_what_is_under_way_at_the_end_is_finished(
    fresh: Serve, tmp_path: Path, phase: Phase, number: int, status: int
) -> None:
    # Nothing here may be the work of a deadline.
    server = fresh(APP, threads=2, timeout_keep_alive=60)
    go = tmp_path / "go"
    with server.connect() as kept, slow_reader(server) as client:
        idle(kept, go)
        phase(client, go)
        is_there(server, phase)
        server.send_signal(number)
        assert kept.closed()
        server.wait_for(WAITING)
        with pytest.raises(ConnectionError):
            server.connect()
        is_finished(client, phase, go)
    assert server.wait() == status
    assert server.lines(COMPLETED)
    assert server.log[-1].endswith(f"Finished server process [{server.pid}]")
    assert not server.lines("Traceback|ERROR")


@ENDS
def test_nobody_is_there_at_the_end(fresh: Serve, number: int, status: int) -> None:
    server = fresh(APP)
    with server.connect() as client:
        idle(client, Path())
        assert server.stop(number) == status
        assert client.closed()
    assert not server.lines(WAITING)
    assert server.lines(COMPLETED)


@pytest.mark.parametrize("phase", [in_body, at_work, in_response, read_slowly])
def test_a_second_interrupt_waits_for_nobody(fresh: Serve, tmp_path: Path, phase: Phase) -> None:
    server = fresh(APP, threads=2)
    with slow_reader(server) as client:
        phase(client, tmp_path / "never")
        is_there(server, phase)
        server.send_signal(signal.SIGINT)
        server.wait_for(WAITING)
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        with pytest.raises(CutError):
            client.response()
    assert not server.lines(COMPLETED)
    assert not server.lines("Traceback")


@pytest.mark.parametrize("phase", [in_body, at_work, in_response, read_slowly])
def test_patience_has_a_limit(fresh: Serve, tmp_path: Path, phase: Phase) -> None:
    """Neither a client nor a thread that is stuck in the application keeps the process."""
    server = fresh(APP, threads=2, timeout_graceful_shutdown=0.2)
    with slow_reader(server) as client:
        phase(client, tmp_path / "never")
        is_there(server, phase)
        assert server.stop(signal.SIGTERM) == -signal.SIGTERM
        with pytest.raises(CutError):
            client.response()
    assert server.lines("timeout graceful shutdown exceeded")
    assert server.lines(COMPLETED)
    assert not server.lines("Traceback")


def test_a_stuck_thread_does_not_keep_a_worker(fresh: Serve, tmp_path: Path) -> None:
    server = fresh(APP, workers=2, timeout_graceful_shutdown=0.2)
    pids = workers(server)
    with ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(server.connect())
            client.request("GET", f"/waits_for?{tmp_path / 'never'}")
        server.wait_for_count("^NOTE working$", 4)
        assert server.stop(signal.SIGTERM) == 0
    assert sorted(numbers(server.lines(FINISHED))) == sorted(pids)
    assert not server.lines("died|SIGKILL|Traceback")


# The log


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"GET /?a=b HTTP/1.1\r\nhost: a\r\n\r\n", "GET /?a=b HTTP/1.1"),
        (b"HEAD /reads HTTP/1.1\r\nhost: a\r\n\r\n", "HEAD /reads HTTP/1.1"),
        (b"GET /r%C3%A9ads HTTP/1.0\r\n\r\n", "GET /r%C3%A9ads HTTP/1.0"),
        (b"POST /reads HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\na", "POST /reads HTTP/1.1"),
    ],
)
def test_an_access_line(fresh: Serve, sent: bytes, line: str) -> None:
    server = fresh(APP)
    with server.connect() as client:
        host, port = client.sock.getsockname()
        client.send(sent)
        status = "404 Not Found" if b"%" in sent else "200 OK"
        answer = client.response(to_head=sent.startswith(b"HEAD"))
        assert answer.status == int(status[:3])
    server.stop()
    assert [each for each in server.out if '"' in each] == [
        f'INFO:     {host}:{port} - "{line}" {status}'
    ]


def test_a_format_of_access_lines(fresh: Serve) -> None:
    server = fresh(APP, access_log_format='%(h)s "%(r)s" %(s)s %(b)s')
    assert server.get("/mebibytes?1").status == 200
    server.stop()
    assert f'127.0.0.1 "GET /mebibytes?1 HTTP/1.1" 200 {SIZE}' in server.out


def test_no_access_lines(fresh: Serve) -> None:
    server = fresh(APP, access_log=False)
    assert server.get("/").status == 200
    server.stop()
    assert not server.lines("GET /")


# Limits


def test_more_connections_than_the_limit(fresh: Serve) -> None:
    server = fresh(APP, threads=1, limit_concurrency=4)
    with ExitStack() as stack:
        for _ in range(3):
            idle(stack.enter_context(server.connect()), Path())
        with server.connect() as refused:
            response = refused.get("/")
            assert response.status == 503
            assert response["connection"] == "close"
            assert refused.closed()
        server.wait_for(r"Exceeded concurrency limit\.")
