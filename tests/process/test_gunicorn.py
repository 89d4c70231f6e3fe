"""The worker for gunicorn, under the real gunicorn: who serves, what is replaced, how all ends.

The processes are gunicorn's. What is asserted is what its users see: answers, its log, its hooks
(`tests/support/gunicorn_hooks.py` writes a line for each), and that no request is lost meanwhile.
"""

from __future__ import annotations

import json
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.client import CutError, request
from tests.support.proxying import BLOCK, LINE, binary
from tests.support.server import PATIENCE, PRODUCT, Server

pytest.importorskip("gunicorn")
pytestmark = pytest.mark.skipif(PRODUCT != "ferricorn", reason="the worker is ferricorn's")

APP = "tests.apps.gunicorned:app"
WSGI = "tests.apps.wsgi_working:app"
WORKER = "ferricorn.workers.FerricornWorker"
COMPLETE = "Application startup complete"


class Gunicorn(Server):
    """gunicorn with settings, which are its command line's with underscores."""

    def __init__(self, app: str = APP, worker: str = WORKER, **settings: Any) -> None:
        env = settings.pop("env", None)
        settings = {"bind": "127.0.0.1:0", "config": "tests/support/gunicorn_hooks.py", **settings}
        arguments = ["gunicorn", "--worker-class", worker, "--no-control-socket", app]
        for name, value in settings.items():
            arguments += ["--" + name.replace("_", "-"), str(value)]
        super().__init__(app, module=arguments, env=env, uds=None)

    @property
    def port(self) -> int:
        return int(self.wait_for(r"Listening at: http://\S*:(\d+)")[1])

    def workers(self, count: int = 1) -> list[int]:
        """Wait until so many workers have started since the beginning, and return them all."""
        self.wait_for_count(COMPLETE, count)
        return [int(re.findall(r"\d+", line)[-1]) for line in self.lines("Started server process")]

    def wait_for_end_of(self, pid: int) -> None:
        self.wait_for(rf"Worker exiting \(pid: {pid}\)")

    def kill(self) -> None:
        """End gunicorn and what is left of its workers."""
        workers: list[psutil.Process] = []
        if self.process.poll() is None:
            workers = psutil.Process(self.pid).children()
            self.process.kill()
        for each in workers:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        super().kill()


@pytest.fixture
def gunicorn() -> Iterator[Callable[..., Gunicorn]]:
    running: list[Gunicorn] = []

    def start(*args: Any, **settings: Any) -> Gunicorn:
        running.append(Gunicorn(*args, **settings))
        return running[-1]

    yield start
    for each in running:
        each.kill()
        panics = each.lines("panicked at|PanicException")
        assert not panics, "\n".join(each.log)


BOTH = pytest.mark.parametrize(
    ("app", "settings"), [(APP, {}), (WSGI, {"threads": 4})], ids=["asgi", "wsgi"]
)


class Clients:
    """Threads that send requests, each on a connection of its own, while the block runs."""

    def __init__(self, server: Server, threads: int = 4) -> None:
        self.bodies: Counter[str] = Counter()
        self.failures: list[str] = []
        self._server = server
        self._over = threading.Event()
        self._news = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: condition() or self.failures, PATIENCE), self.bodies

    def wait_for_any(self, pids: list[int]) -> None:
        """Wait for the answer of one of these processes."""
        self.wait_until(lambda: any(str(pid) in self.bodies for pid in pids))

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                response = self._server.get("/", ("connection", "close"))
                answer, failure = response.text, "" if response.status == 200 else repr(response)
            except (OSError, CutError) as error:
                answer, failure = "", repr(error)
            with self._news:
                self.bodies[answer] += 1
                self.failures += [failure] if failure else []
                self._news.notify_all()


@BOTH
def test_it_serves_and_ends(
    gunicorn: Callable[..., Gunicorn], app: str, settings: dict[str, int]
) -> None:
    server = gunicorn(app, workers=2, **settings)
    pids = server.workers(2)
    assert server.get().text in [str(pid) for pid in pids]
    assert server.stop() == 0
    assert len(server.lines("Application shutdown complete")) == 2
    assert not server.lines("ERROR|CRITICAL|Traceback")
    assert not server.lines("GET /"), "nobody asked for an access log"


def test_a_class_of_the_user_s_own_sets_options(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn(worker="tests.apps.gunicorned.OwnWorker", keep_alive=60)
    with server.connect() as client:
        assert client.get()["x-own"] == "yes"
        assert client.closed(), "its keep-alive of a moment comes before gunicorn's of a minute"


def test_the_other_name_is_on_asyncio_s_loop(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn(worker="ferricorn.workers.FerricornH11Worker")
    assert server.get("/loop").text.startswith("asyncio.")


def test_keep_alive_is_gunicorn_s(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn(keep_alive=1)
    with server.connect() as client:
        assert client.get().status == 200
        assert client.closed()


@pytest.mark.parametrize(("trusted", "seen"), [("127.0.0.1", "192.0.2.1"), ("::1", "127.0.0.1")])
def test_proxies_are_those_that_gunicorn_trusts(
    gunicorn: Callable[..., Gunicorn], trusted: str, seen: str
) -> None:
    server = gunicorn(forwarded_allow_ips=trusted)
    assert server.get("/client", ("x-forwarded-for", "192.0.2.1")).text == seen


@pytest.mark.parametrize("mode", ["auto", "v1", "v2"])
def test_the_proxy_protocol_is_gunicorn_s(gunicorn: Callable[..., Gunicorn], mode: str) -> None:
    server = gunicorn(proxy_protocol=mode)
    for header in (LINE, binary(BLOCK)):
        with server.connect() as client:
            client.send(header)
            assert client.get("/client").text == "192.0.2.1"
    with server.connect() as client:
        client.request("GET", "/client")
        assert client.closed()


def test_gunicorn_says_whose_proxy_protocol_counts(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn(proxy_protocol="auto", proxy_allow_from="10.0.0.0/8")
    with server.connect() as client:
        with suppress(ConnectionError):
            client.send(LINE + request("GET", "/client"))
        assert client.closed()


def test_everybody_on_a_unix_socket_is_a_proxy_to_gunicorn(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    server = gunicorn(bind=f"unix:{tmp_path}/s", proxy_protocol="auto")
    server.workers()
    server.uds = f"{tmp_path}/s"
    with server.connect() as client:
        client.send(LINE)
        assert client.get("/client").text == "192.0.2.1"


def test_connections_are_limited_as_gunicorn_s_user_says(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    server = gunicorn(worker_connections=2)
    with server.connect() as one, server.connect() as two, server.connect() as three:
        statuses = [client.get().status for client in (one, two, three)]
    assert 503 in statuses


def test_a_wsgi_application_has_the_threads_of_gunicorn_s_user(
    gunicorn: Callable[..., Gunicorn],
) -> None:
    server = gunicorn("tests.apps.wsgi_threads:app", threads=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(20)]
        for client in clients:
            client.request("GET", "/counted")
        assert {int(client.response().text) for client in clients} <= {1, 2}


def test_threads_that_wait_are_no_hang(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn(WSGI, threads=4, timeout=2)
    (pid,) = server.workers()
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(4)]
        for client in clients:
            client.request("GET", "/sleeps?4")
        assert {client.response().text for client in clients} == {str(pid)}
    assert not server.lines("WORKER TIMEOUT")


def test_a_request_in_a_thread_is_answered_at_the_end(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    server = gunicorn(WSGI, threads=4)
    with server.connect() as client:
        client.request("GET", f"/waits_for?{go}")
        server.wait_for("^NOTE working$")
        server.send_signal(signal.SIGTERM)
        server.wait_for("Waiting for connections to close")
        go.touch()
        response = client.response()
        assert (response.status, response["connection"]) == (200, "close")
    assert server.wait() == 0
    assert server.lines("Application shutdown complete")


def test_a_thread_that_is_stuck_does_not_keep_gunicorn(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    server = gunicorn(WSGI, threads=4, graceful_timeout=4)
    with server.connect() as client:
        client.request("GET", f"/waits_for?{tmp_path / 'never'}")
        server.wait_for("^NOTE working$")
        assert server.stop() == 0
        assert client.closed()
    assert server.lines("Application shutdown complete")
    assert not server.lines("SIGKILL")


def test_access_lines_go_where_gunicorn_s_go_and_the_file_is_reopened(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    log, moved = tmp_path / "access", tmp_path / "moved"
    server = gunicorn(access_logfile=log)
    (pid,) = server.workers()
    assert server.get("/?before").status == 200
    log.rename(moved)
    server.send_signal(signal.SIGUSR1)
    # Gunicorn's own process has done its part before it tells the worker; that one writes to the
    # new file from some request on, and to the old one until then.
    tries = 0
    while not log.exists() or "?after" not in log.read_text():
        assert server.get(f"/?after={tries}").status == 200
        tries += 1
        assert tries < 10_000
    assert '"GET /?before HTTP/1.1" 200' in moved.read_text()
    assert server.get().text == str(pid)


@pytest.mark.parametrize("to", ["-", "file"])
def test_access_lines_are_in_gunicorn_s_format(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path, to: str
) -> None:
    log = "-" if to == "-" else tmp_path / "access"
    server = gunicorn(access_logfile=log, access_logformat='%(p)s "%(r)s" %(s)s %({x-none}i)s')
    pid = server.get("/?a").text
    assert server.stop() == 0
    lines = server.out if to == "-" else (tmp_path / "access").read_text().splitlines()
    assert lines == [f'<{pid}> "GET /?a HTTP/1.1" 200 -']


def test_a_worker_s_log_may_be_json(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn(worker="tests.apps.gunicorned.JSONWorker")
    server.workers()
    assert server.get("/?a").status == 200
    assert server.get("/raises").status == 500
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.lines("^{")]
    loggers = [line["logger"] for line in lines]
    assert loggers.count("uvicorn.access") == 2
    (error,) = (line for line in lines if line["level"] == "ERROR")
    assert "meant to fail" in error["traceback"]


@BOTH
def test_a_reload_under_load_loses_no_request(
    gunicorn: Callable[..., Gunicorn], app: str, settings: dict[str, int]
) -> None:
    server = gunicorn(app, workers=2, **settings)
    old = server.workers(2)
    with Clients(server) as clients:
        for count in (4, 6, 8):
            clients.wait_for_any(old)
            server.send_signal(signal.SIGHUP)
            server.workers(count)
            for pid in old:
                server.wait_for_end_of(pid)
            old = server.workers(count)[-2:]
        clients.wait_for_any(old)
    assert clients.failures == []
    assert not server.lines("ERROR|CRITICAL|Traceback")


@BOTH
def test_a_worker_that_has_served_enough_is_replaced(
    gunicorn: Callable[..., Gunicorn], app: str, settings: dict[str, int]
) -> None:
    server = gunicorn(app, workers=2, max_requests=50, max_requests_jitter=20, **settings)
    server.workers(2)
    with Clients(server) as clients:
        clients.wait_until(lambda: len(clients.bodies) >= 6)
    assert clients.failures == []
    assert server.lines("Maximum request limit of (5|6|70)")
    assert not server.lines("ERROR|CRITICAL|Traceback")


def test_requests_in_flight_are_answered(gunicorn: Callable[..., Gunicorn], tmp_path: Path) -> None:
    go = tmp_path / "go"
    server = gunicorn()
    (pid,) = server.workers()
    with server.connect() as client:
        client.request("GET", f"/waits_for?{go}")
        server.wait_for("it waits")
        server.send_signal(signal.SIGTERM)
        server.wait_for("Waiting for connections to close")
        go.touch()
        response = client.response()
        assert response.text == str(pid)
        assert response["connection"] == "close"
    assert server.wait() == 0
    assert server.lines("Application shutdown complete")


def test_what_does_not_end_is_cut_before_gunicorn_kills(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    server = gunicorn(graceful_timeout=4)
    with server.connect() as client:
        client.request("GET", f"/waits_for?{tmp_path / 'never'}")
        server.wait_for("it waits")
        assert server.stop() == 0
        assert client.closed()
    assert server.lines("Application shutdown complete")
    assert not server.lines("SIGKILL")


@pytest.mark.parametrize("first", [None, signal.SIGTERM])
def test_a_quick_end_cuts_and_still_tells_the_application(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path, first: int | None
) -> None:
    server = gunicorn(graceful_timeout=60)
    with server.connect() as client:
        client.request("GET", f"/waits_for?{tmp_path / 'never'}")
        server.wait_for("it waits")
        if first is not None:
            server.send_signal(first)
            server.wait_for("Waiting for connections to close")
        server.send_signal(signal.SIGQUIT)
        assert client.closed()
    assert server.wait() == 0
    assert server.lines("Application shutdown complete")
    assert len(server.lines("hook worker_int")) == 1
    assert not server.lines("SIGKILL")


def test_a_worker_that_hangs_is_replaced_and_says_where(
    gunicorn: Callable[..., Gunicorn],
) -> None:
    server = gunicorn(timeout=2)
    (pid,) = server.workers()
    with server.connect() as client:
        client.request("GET", "/hangs")
        server.wait_for(r"WORKER TIMEOUT")
        assert client.response().status == 500
    assert server.workers(2)[-1] != pid
    assert server.get().text == str(server.workers(2)[-1])
    assert server.lines(f"hook worker_abort {pid}")
    assert server.lines("hangs here")
    assert server.lines("in hangs")
    assert server.lines(rf"pid:{pid}\) exited with code 1"), "by itself, and without a core"


@pytest.mark.parametrize("phase", ["STARTS", "ENDS"])
def test_a_slow_application_is_no_hang(gunicorn: Callable[..., Gunicorn], phase: str) -> None:
    """It starts or ends for longer than the timeout, and the loop goes on meanwhile."""
    server = gunicorn(timeout=2, graceful_timeout=60, env={phase: "5"})
    server.workers()
    server.get()
    assert server.stop() == 0
    assert server.lines("Application shutdown complete")
    assert not server.lines("WORKER TIMEOUT")


def test_workers_do_not_outlive_gunicorn(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn()
    (pid,) = server.workers()
    worker = psutil.Process(pid)
    server.process.kill()
    server.wait_for("Parent changed")
    server.wait_for("Application shutdown complete")
    worker.wait(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("app", "settings", "reason"),
    [
        ("tests.apps.gunicorned:missing", {}, "missing"),
        (APP, {"env": {"FAILS": "1"}}, "Application startup failed"),
    ],
    ids=["no application", "its start fails"],
)
def test_what_cannot_start_ends_gunicorn(
    gunicorn: Callable[..., Gunicorn], app: str, settings: dict[str, Any], reason: str
) -> None:
    server = gunicorn(app, **settings)
    assert server.wait() in (3, 4)
    assert server.lines(reason)
    assert server.lines("Worker failed to boot|App failed to load")
