"""Several workers on one socket: who serves, who is replaced and when, and how all end.

That no request notices is seen in `test_endurance.py`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from tests.conftest import StartServer
from tests.support.client import request
from tests.support.load import Load
from tests.support.server import PATIENCE, ROOT, Server

APP = "tests.apps.working:app"

STARTED = r"Started server process \[(\d+)\]"
COMPLETE = "Application startup complete"
TERMINATED = r"Terminated child process \[(\d+)\]"
FINISHED = r"Finished server process \[(\d+)\]"

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of Unix")


def numbers(lines: list[str]) -> list[int]:
    """Return the process ids that lines of the log end with."""
    return [int(found[1]) for line in lines if (found := re.search(r"\[(\d+)\]", line))]


def workers(server: Server, count: int = 2) -> list[int]:
    """Wait until so many workers have started, and return them."""
    server.wait_for_count(COMPLETE, count)
    return numbers(server.lines(STARTED))


def ended(pid: int) -> None:
    """Wait for the end of a process."""
    try:
        psutil.Process(pid).wait(timeout=30)
    except psutil.NoSuchProcess:
        return


@pytest.fixture
def two(server: StartServer) -> Server:
    fresh = server(APP, workers=2)
    workers(fresh)
    return fresh


def test_all_workers_serve(two: Server) -> None:
    pids = {str(pid) for pid in workers(two)}
    with Load(two) as load:
        while set(load.bodies) != pids:
            load.wait_for_more()
    assert not load.failures


def test_connections_are_shared_evenly(server: StartServer) -> None:
    """Those that come at once, and then those that come one after the other.

    Each of the latter goes to a worker with few connections, and there are enough of them to mend
    whatever a busy machine made of the former.
    """
    fresh = server(APP, workers=4, timeout_keep_alive=PATIENCE)
    workers(fresh, 4)
    with ExitStack() as stack:
        clients = [stack.enter_context(fresh.connect()) for _ in range(40)]
        for client in clients:
            client.request("GET", "/")
        shares = Counter(client.response().text for client in clients)
        for _ in range(160):
            shares[stack.enter_context(fresh.connect()).get("/").text] += 1
    assert len(shares) == 4
    assert max(shares.values()) <= 1.2 * min(shares.values()), shares


@pytest.mark.skipif(sys.platform != "linux", reason="sets the size of a pipe")
def test_workers_write_their_access_lines_whole(server: StartServer) -> None:
    import fcntl

    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    to_pipe = ["sh", "-c", f'exec "$0" "$@" >/proc/self/fd/{writing}']
    fresh = server(APP, workers=2, log_format="json", prefix=to_pipe, fds=(writing,))
    os.close(writing)
    workers(fresh)
    with ExitStack() as stack, open(reading, "rb", buffering=0) as pipe:
        # Each has many lines to write when somebody reads at last.
        for client in [stack.enter_context(fresh.connect()) for _ in range(8)]:
            client.send(request("GET", "/") * 50)
            for _ in range(50):
                assert client.response().status == 200
        written = b""
        while written.count(b'"message"') < 400 or not written.endswith(b"}\n"):
            written += pipe.read(1000)
    for line in written.splitlines():
        assert json.loads(line)["path"] == "/"


def test_a_worker_that_does_nothing_keeps_nobody_waiting(server: StartServer) -> None:
    """The others keep their connections, so that it soon has the fewest, and should be next."""
    fresh = server(APP, workers=2, timeout_keep_alive=PATIENCE, timeout_worker_healthcheck=0)
    pids = workers(fresh)
    with ExitStack() as stack:
        os.kill(pids[0], signal.SIGSTOP)
        for _ in range(40):
            assert int(stack.enter_context(fresh.connect()).get("/").text) == pids[1]
        os.kill(pids[0], signal.SIGCONT)
        # It has the fewest, so one of the next is its own.
        more = (stack.enter_context(fresh.connect()).get("/").text for _ in range(200))
        assert str(pids[0]) in more


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_of_all(two: Server, number: int) -> None:
    pids = workers(two)
    assert two.stop(number) == 0
    parent = two.pid
    assert two.lines(rf"Started parent process \[{parent}\]")
    assert two.lines(f"Received {signal.Signals(number).name}, exiting.")
    assert sorted(numbers(two.lines(TERMINATED))) == sorted(pids)
    assert sorted(numbers(two.lines("Waiting for child process"))) == sorted(pids)
    assert sorted(numbers(two.lines(FINISHED))) == sorted(pids)
    assert two.log[-1].endswith(f"Stopping parent process [{parent}]")


def test_the_number_of_workers_may_come_from_the_environment(server: StartServer) -> None:
    fresh = server(APP, env={"WEB_CONCURRENCY": "2"})
    assert len(workers(fresh)) == 2


def test_a_unix_socket_leaves_no_file(server: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    fresh = server(APP, workers=2, uds=path)
    assert int(fresh.get("/").text) in workers(fresh)
    assert fresh.stop(signal.SIGTERM) == 0
    assert not path.exists()


def test_requests_run_to_their_end(two: Server, tmp_path: Path) -> None:
    with two.connect() as client:
        client.request("GET", f"/waits_for?{tmp_path / 'go'}")
        two.wait_for("^working$")
        two.send_signal(signal.SIGTERM)
        two.wait_for("Waiting for connections to close")
        (tmp_path / "go").touch()
        assert client.response().status == 200
    assert two.wait() == 0


# What each signal to the parent does to two workers, as the log says it, and how often.
EFFECTS = {
    "SIGTERM": ("Shutting down", 2),
    "SIGINT": ("Shutting down", 2),
    "SIGHUP": (TERMINATED, 2),
    "SIGTTOU": (TERMINATED, 1),
    "SIGTTIN": (COMPLETE, 3),
    "SIGUSR2": ("New parent process .* serves", 1),
    "SIGUSR1": ("", 0),
    "SIGQUIT": ("", 0),
    "SIGWINCH": ("", 0),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_requests_of_every_phase_are_answered(
    server: StartServer, tmp_path: Path, name: str
) -> None:
    """Half a head, half a body, an answer in the making and one on its way."""
    go = tmp_path / "go"
    fresh = server(APP, workers=2, timeout_keep_alive=PATIENCE)
    workers(fresh)
    parent = fresh.pid
    with ExitStack() as stack:
        # Nothing waits for it for ever, whatever fails here.
        stack.callback(go.touch)
        idle, head, body, work, stream = (stack.enter_context(fresh.connect()) for _ in range(5))
        assert idle.get("/").status == 200
        head.send(b"GET / HTTP/1.1\r\nho")
        body.request("POST", "/reads", ("content-length", "8"))
        body.send(b"half")
        work.request("GET", f"/waits_for?{go}")
        fresh.wait_for("^working$")
        stream.request("GET", f"/halves?{go}")
        response = stream.head()
        assert stream.read_chunk() == b"one "

        fresh.send_signal(getattr(signal, name))
        pattern, count = EFFECTS[name]
        fresh.wait_for_count(pattern, count)
        if name == "SIGUSR2":
            (parent,) = numbers(fresh.lines(pattern))

        head.send(b"st: a\r\n\r\n")
        assert head.response().status == 200
        body.send(b"half")
        assert body.response().text == "halfhalf"
        go.touch()
        assert work.response().status == 200
        assert stream.body(response).body == b"two"
        if not count or name == "SIGTTIN":
            assert idle.get("/").status == 200
    if name in ("SIGTERM", "SIGINT"):
        assert fresh.wait() == 0
        return
    assert fresh.get("/").status == 200
    os.kill(parent, signal.SIGTERM)
    ended(parent)
    assert fresh.wait() == 0
    assert not fresh.lines("Traceback|died")


def test_insisting_again_ends_a_worker_that_hangs(two: Server, tmp_path: Path) -> None:
    never = tmp_path / "never"
    with ExitStack() as stack:
        stack.callback(never.touch)
        client = stack.enter_context(two.connect())
        client.request("GET", f"/holds_the_loop?{never}")
        two.wait_for("^holding$")
        two.send_signal(signal.SIGTERM)
        two.wait_for_count(FINISHED, 1)
        two.send_signal(signal.SIGINT)
        two.wait_for("Received SIGINT, waiting for nobody")
        two.send_signal(signal.SIGINT)
        assert client.closed()
    assert two.wait() == 0
    assert two.lines("did not end, killed by SIGKILL")


def test_a_second_interrupt_waits_for_nobody(two: Server, tmp_path: Path) -> None:
    with two.connect() as client:
        client.request("GET", f"/waits_for?{tmp_path / 'never'}")
        two.wait_for("^working$")
        two.send_signal(signal.SIGINT)
        two.wait_for("Waiting for connections to close")
        two.send_signal(signal.SIGINT)
        assert two.wait() == 0


def test_a_worker_ends_only_when_its_replacement_serves(two: Server) -> None:
    two.send_signal(signal.SIGHUP)
    two.wait_for_count(TERMINATED, 2)
    events = [line for line in two.log if re.search(f"{COMPLETE}|{TERMINATED}", line)]
    kinds = ["end" if "Terminated" in line else "start" for line in events]
    assert kinds == ["start", "start", "start", "end", "start", "end"]


def test_more_and_fewer_workers(two: Server) -> None:
    two.send_signal(signal.SIGTTIN)
    workers(two, 3)
    for count in (1, 2):
        two.send_signal(signal.SIGTTOU)
        two.wait_for_count(FINISHED, count)
    two.send_signal(signal.SIGTTOU)
    two.wait_for("Already reached one process, cannot decrease the number of processes anymore.")
    (left,) = {*workers(two)} - {*numbers(two.lines(FINISHED))}
    assert int(two.get("/").text) == left


def test_other_signals_do_nothing(two: Server) -> None:
    pids = workers(two)
    for number in (signal.SIGUSR1, signal.SIGQUIT, signal.SIGWINCH):
        two.send_signal(number)
    # It is the parent's word to its workers, if there is a delay to tell them of.
    for pid in pids:
        os.kill(pid, signal.SIGUSR1)
    assert int(two.get("/").text) in pids


def test_signals_to_the_whole_group_are_the_parents_to_obey(server: StartServer) -> None:
    # As a terminal that closes sends them; the test's own process stays out of the group.
    fresh = server(APP, workers=2, prefix=["setsid"])
    workers(fresh)
    group = os.getpgid(fresh.pid)
    os.killpg(group, signal.SIGHUP)
    fresh.wait_for_count(TERMINATED, 2)
    assert len(fresh.lines(FINISHED)) <= 2
    os.killpg(group, signal.SIGINT)
    assert fresh.wait() == 0
    assert not fresh.lines("Traceback|died")


def test_a_worker_that_grew_is_replaced(server: StartServer) -> None:
    fresh = server(APP, worker_max_rss=200)
    (pid,) = workers(fresh, 1)
    assert int(fresh.get("/grows?200").text) == pid
    fresh.wait_for(rf"Replacing child process \[{pid}\]: it uses \d+ MiB of memory and may use 200")
    fresh.wait_for(rf"Finished server process \[{pid}\]")
    assert int(fresh.get("/").text) != pid


def test_a_worker_that_grew_old_is_replaced(server: StartServer) -> None:
    fresh = server(APP, worker_lifetime=1, worker_lifetime_jitter=0.5)
    with Load(fresh) as load:
        fresh.wait_for_count(FINISHED, 2)
    assert not load.failures
    assert len(fresh.lines(r"Replacing child process \[\d+\]: it is \d+ seconds old")) >= 2


def test_a_worker_that_hangs_says_where_and_is_replaced(
    server: StartServer, tmp_path: Path
) -> None:
    fresh = server(APP, workers=2, timeout_worker_healthcheck=1)
    workers(fresh)
    with fresh.connect() as client:
        client.request("GET", f"/holds_the_loop?{tmp_path / 'never'}")
        line = fresh.wait_for(r"Replacing child process \[(\d+)\]: its event loop has not turned")
        fresh.wait_for(r'working\.py", line \d+ in holds_the_loop')
        fresh.wait_for(rf"Process \[{line[1]}\] has 1 request\(s\) in flight")
        fresh.wait_for(
            r"127\.0\.0\.1:\d+  GET /holds_the_loop\?.*/never  waits for the application$"
        )
        fresh.wait_for(rf"Child process \[{line[1]}\] died \(hung, killed by SIGKILL\)")
        assert client.closed()
    assert len(fresh.lines(COMPLETE)) == 3
    assert int(fresh.get("/").text) != int(line[1])


def test_a_busy_worker_is_not_hung(server: StartServer) -> None:
    fresh = server(APP, workers=1, worker_lifetime=3, timeout_worker_healthcheck=1)
    with Load(fresh, threads=8):
        fresh.wait_for(r"it is 3 seconds old")
    assert not fresh.lines("has not turned")


@pytest.mark.parametrize("boot", ["exit 1", "raise"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_failed_start_is_status_3(tmp_path: Path, boot: str, count: int) -> None:
    # One worker as well: its parent is there for another reason.
    (tmp_path / "boot").write_text(boot)
    failing = Server(APP, workers=count, worker_lifetime=100, env={"BOOT": str(tmp_path / "boot")})
    try:
        assert failing.wait() == 3
        assert failing.lines(r"Child process \[\d+\] failed to start, stopping the parent process.")
    finally:
        failing.kill()


def test_a_lifespan_that_fails_is_status_3() -> None:
    failing = Server("tests.apps.lifespans:failing", workers=2)
    try:
        assert failing.wait() == 3
    finally:
        failing.kill()


def test_a_restart_that_fails_leaves_the_workers(server: StartServer, tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.touch()
    fresh = server(APP, workers=2, env={"BOOT": str(boot)})
    before = workers(fresh)
    boot.write_text("raise")
    fresh.send_signal(signal.SIGHUP)
    line = r"New child process \[\d+\] did not start \(exit status 1\); keeping worker"
    fresh.wait_for(line)
    assert int(fresh.get("/").text) in before
    boot.write_text("")
    fresh.send_signal(signal.SIGHUP)
    fresh.wait_for_count(TERMINATED, 2)


def test_a_crash_loop_slows_down(server: StartServer, tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # A worker that fails before the parent knows that all serve would be a start that fails.
        manager.settimeout(30)
        manager.bind(str(tmp_path / "manager"))
        env = {"BOOT": str(boot), "NOTIFY_SOCKET": str(tmp_path / "manager")}
        fresh = server(APP, workers=2, env=env)
        assert manager.recv(100) == b"READY=1"
    pids = workers(fresh)
    boot.write_text("exit 7")
    os.kill(pids[0], signal.SIGKILL)
    lines = fresh.wait_for_count(r"Child process \[\d+\] died \(exit status 7\)", 2)
    assert int(fresh.get("/").text) == pids[1]
    boot.write_text("")
    assert int(fresh.get("/").text) == pids[1]
    workers(fresh, 3)
    assert len(lines) == 2


def test_a_new_parent_leaves_no_file(server: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    fresh = server(APP, workers=2, uds=path)
    workers(fresh)
    fresh.send_signal(signal.SIGUSR2)
    (parent,) = numbers([fresh.wait_for(r"New parent process \[\d+\] serves")[0]])
    try:
        ended(fresh.pid)
        fresh.get("/")
    finally:
        os.kill(parent, signal.SIGTERM)
        ended(parent)
    assert not path.exists()


def test_a_new_parent_that_does_not_start_changes_nothing(
    server: StartServer, tmp_path: Path
) -> None:
    boot = tmp_path / "boot"
    boot.touch()
    fresh = server(APP, workers=2, env={"BOOT": str(boot)})
    before = workers(fresh)
    boot.write_text("raise")
    fresh.send_signal(signal.SIGUSR2)
    fresh.wait_for(r"New parent process \[\d+\] did not start; going on without it.")
    assert int(fresh.get("/").text) in before
    assert fresh.stop(signal.SIGTERM) == 0


def test_workers_do_not_outlive_their_parent(two: Server) -> None:
    pids = workers(two)
    os.kill(two.pid, signal.SIGKILL)
    for pid in pids:
        ended(pid)
    assert len(two.lines("The parent process is gone")) == 2


def test_the_parent_stays_small(two: Server) -> None:
    assert two.memory() < 25 << 20


def test_a_preloaded_application_is_imported_once(server: StartServer) -> None:
    fresh = server(APP, workers=2, preload=True)
    pids = workers(fresh)
    with Load(fresh) as load:
        fresh.send_signal(signal.SIGHUP)
        fresh.wait_for_count(TERMINATED, 2)
    assert not load.failures
    os.kill(fresh.pid, signal.SIGKILL)
    for pid in {*pids, *numbers(fresh.lines(STARTED))}:
        ended(pid)


def test_an_object_is_no_application_for_workers() -> None:
    code = "import ferricorn; ferricorn.run(print, workers=2)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 3
    assert "You must pass the application as an import string to enable" in done.stderr


def test_a_taken_port_is_status_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        failing = Server(APP, workers=2, port=other.getsockname()[1])
        try:
            assert failing.wait() == 3
            assert not failing.lines(STARTED)
        finally:
            failing.kill()
