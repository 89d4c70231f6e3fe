"""A server as the operating system sees it: started on one core, with its CPU time and its memory.

Time is that of every process of the server and of every thread, also of those that ended. The total
comes from the process clock, which counts nanoseconds; the kernel says only in ticks how much of it
was user space, so that share is what a run of seconds makes of it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from servers import HERE

if TYPE_CHECKING:
    from rows import Row
    from servers import Server

SERVER_CORE = "0"
CLIENT_CORE = "1"

_SHORT_REQUEST = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class MeasurementError(Exception):
    """A row that cannot be measured for a server, with the reason."""


@dataclass(frozen=True)
class Time:
    """CPU seconds so far: `total` exactly, `user` and `kernel` as sampled by ticks."""

    total: float
    user: float
    kernel: float


class Process:
    """A running server. Use it as a context: leaving ends it, gently and then not."""

    def __init__(self, server: Server, row: Row, log: IO[bytes]) -> None:
        self.port = free_port()
        self._log = log
        environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE / "apps"), *server.python_path])
        # An installed package is compiled.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.started = time.monotonic()
        self._child = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *server.command(row, self.port)],
            cwd=HERE / "apps",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def __enter__(self) -> Process:
        try:
            self._wait_until_it_serves()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def time(self) -> Time:
        """CPU time of all processes of the server."""
        total = user = kernel = 0.0
        for process in self._tree():
            # The clock id of another process's CPU clock, as clock_getcpuclockid() makes it.
            with suppress(OSError):
                total += time.clock_gettime((~process << 3) | 2)
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                user += int(fields[11]) / os.sysconf("SC_CLK_TCK")
                kernel += int(fields[12]) / os.sysconf("SC_CLK_TCK")
        return Time(total, user, kernel)

    def resident(self) -> int:
        """Bytes of resident memory of all processes of the server."""
        size = 0
        for process in self._tree():
            with suppress(OSError):
                for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Rss:"):
                        size += int(line.split()[1]) * 1024
        return size

    def _tree(self) -> list[int]:
        found = [self._child.pid]
        for process in found:
            with suppress(OSError):
                for task in Path(f"/proc/{process}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
        return found

    def _wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise MeasurementError(f"ended with {self._child.returncode}: {self._last_words()}")
            with suppress(OSError):
                ask(self.port, "/")
                self.answered = time.monotonic()
                return
            time.sleep(0.001)
        raise MeasurementError(f"does not answer: {self._last_words()}")

    def _last_words(self) -> str:
        self._log.flush()
        lines = Path(self._log.name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _end(self) -> None:
        # The group is the one that start_new_session made: this server and its children.
        for kind, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 5)):
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, kind)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(patience)
                break
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, path: str) -> bytes:
    """Send one request and return the body of its answer, which has a content-length."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(_SHORT_REQUEST % path.encode())
        return read_answer(client)


def read_answer(client: socket.socket) -> bytes:
    """Read one answer with a content-length; an answer without one is read to its head."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(65536)
        if not piece:
            raise ConnectionError("closed before an answer")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        piece = client.recv(65536)
        if not piece:
            raise ConnectionError("closed inside an answer")
        body += piece
    return body
