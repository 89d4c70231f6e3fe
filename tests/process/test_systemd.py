"""What a service manager passes and hears: sockets, and the words of `sd_notify`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import StartServer
from tests.support.client import Client
from tests.support.server import PATIENCE, ROOT

APP = "tests.apps.working:app"

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="sockets of Unix")


class Manager:
    """Takes what a service says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.settimeout(PATIENCE)

    def hear(self) -> list[str]:
        return self._sock.recv(1000).decode().splitlines()

    def hear_until(self, line: str) -> list[str]:
        """Wait for this line, and return the others that came before."""
        before: list[str] = []
        while line not in (lines := self.hear()):
            before += lines
        return before

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_ready_and_stopping(server: StartServer, manager: Manager, workers: int) -> None:
    fresh = server(APP, workers=workers, env={"NOTIFY_SOCKET": str(manager.path)})
    assert "STOPPING=1" not in manager.hear_until("READY=1")
    # Ready means that no request has to wait for a start.
    fresh.wait_for_count("Application startup complete", workers)
    fresh.send_signal(signal.SIGTERM)
    manager.hear_until("STOPPING=1")
    fresh.wait()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_watchdog_is_fed(server: StartServer, manager: Manager, workers: int) -> None:
    env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
    server(APP, workers=workers, env=env)
    for _ in range(3):
        manager.hear_until("WATCHDOG=1")


def test_a_reload_is_told(server: StartServer, manager: Manager) -> None:
    fresh = server(APP, workers=2, env={"NOTIFY_SOCKET": str(manager.path)})
    manager.hear_until("READY=1")
    fresh.send_signal(signal.SIGHUP)
    lines = manager.hear()
    assert lines[0] == "RELOADING=1"
    assert lines[1].startswith("MONOTONIC_USEC=")
    manager.hear_until("READY=1")
    fresh.wait_for_count("Terminated child process", 2)


def test_a_new_parent_feeds_the_watchdog(server: StartServer, manager: Manager) -> None:
    """The manager names the process that it waits for, and is told of the next one."""
    env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
    prefix = ["sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"]
    fresh = server(APP, workers=2, env=env, prefix=prefix)
    manager.hear_until("READY=1")
    manager.hear_until("WATCHDOG=1")
    fresh.send_signal(signal.SIGUSR2)
    pid = int(fresh.wait_for(r"starting new parent process \[(\d+)\]")[1])
    try:
        manager.hear_until(f"MAINPID={pid}")
        manager.hear_until("WATCHDOG=1")
    finally:
        os.kill(pid, signal.SIGTERM)
        fresh.wait()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.skipif(
    not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not there"
)
def test_socket_activation(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "socket"
    command = [sys.executable, "-m", "ferricorn", APP, "--workers", str(workers)]
    activate = subprocess.Popen(
        ["systemd-socket-activate", "-l", str(path), "-E", "PATH", *command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert activate.stderr is not None
        assert "Listening on" in activate.stderr.readline()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(path))
            assert Client(sock).get("/").status == 200
        activate.terminate()
        log = activate.stderr.read()
        assert f"running on unix socket {path}" in log
        assert activate.wait(PATIENCE) == (0 if workers > 1 else -signal.SIGTERM)
    finally:
        activate.kill()
        activate.wait()
        activate.stderr.close()
    # It belongs to the manager.
    assert path.exists()


def test_what_is_passed_to_another_is_left_alone(server: StartServer) -> None:
    env = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    assert server(APP, env=env).get("/").status == 200


def test_a_descriptor_that_is_no_socket_is_status_3(tmp_path: Path) -> None:
    with open(os.devnull) as nothing:
        code = (
            f"import os; os.dup2({nothing.fileno()}, 3); os.environ.update(LISTEN_FDS='1', "
            "LISTEN_PID=str(os.getpid())); import ferricorn; "
            f"ferricorn.run({APP!r}, workers=2)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=False,
            cwd=ROOT,
            pass_fds=[nothing.fileno()],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 3
    assert "descriptor 3 of LISTEN_FDS is no stream socket" in done.stderr
