"""A server in a process of its own, as users run it, and what it wrote.

Owns the process, from its command line to its end by its own process id. The product under test is
`ferricorn`, or the module that FERRICORN_TEST_SERVER names, so that a doubtful test can be held
against the server whose contract ours is. That a server is ready is read in its log rather than
tried by connecting: a test shall see no connection but its own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psutil
from tests.support.client import Client

PRODUCT = os.environ.get("FERRICORN_TEST_SERVER", "ferricorn")
ROOT = Path(__file__).parents[2]

# Long enough for a busy machine; reached only by a test that fails.
PATIENCE = float(os.environ.get("FERRICORN_TEST_PATIENCE", "30"))

# What only ferricorn understands.
_OWN_OPTIONS = {"driver", "timeout_request_head", "timeout_request_body", "timeout_write"}


class Server:
    """A running server.

    Options are those of the command line with underscores: `True` is the flag, `False` is its
    `--no-` form, a list repeats the option. `env` adds variables, `fds` are inherited, `prefix` is
    a command that runs the server (`["prlimit", "--nofile=64"]`), `module` another module to run,
    with its arguments.
    """

    def __init__(
        self,
        app: str,
        *,
        env: dict[str, str] | None = None,
        fds: tuple[int, ...] = (),
        cwd: Path = ROOT,
        prefix: list[str] | None = None,
        module: list[str] | None = None,
        **options: Any,
    ) -> None:
        if not {"uds", "fd", "port"} & options.keys():
            options["port"] = 0
        self.host = str(options.get("host", "127.0.0.1"))
        self.uds = options.get("uds")
        self._port: int | None = None
        module = module or [PRODUCT, app, *_arguments(options)]
        self.process = subprocess.Popen(
            [*(prefix or []), sys.executable, "-m", *module],
            cwd=cwd,
            env=_environment(env or {}),
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )
        self.log: list[str] = []
        self.out: list[str] = []
        self.err: list[str] = []
        self._open = 2
        self._written = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=stream, daemon=True)
            for stream in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            with self._written:
                for each in (lines, self.log):
                    each.append(line.rstrip("\n"))
                self._written.notify_all()
        with self._written:
            self._open -= 1
            self._written.notify_all()

    # The log

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until a line of the log matches."""
        found = self._wait(lambda: self._find(pattern))
        assert found, f"no line matches {pattern!r}:\n" + "\n".join(self.log)
        return found

    def wait_for_count(self, pattern: str, count: int) -> list[str]:
        """Wait until as many lines of the log match, and return them."""
        self._wait(lambda: len(self.lines(pattern)) >= count)
        lines = self.lines(pattern)
        assert len(lines) >= count, f"{lines} are fewer than {count}:\n" + "\n".join(self.log)
        return lines

    def lines(self, pattern: str) -> list[str]:
        """Return the lines of the log that match."""
        return [line for line in list(self.log) if re.search(pattern, line)]

    def _find(self, pattern: str) -> re.Match[str] | None:
        return next(filter(None, (re.search(pattern, line) for line in self.log)), None)

    def _wait(self, condition: Callable[[], Any]) -> Any:
        with self._written:
            self._written.wait_for(lambda: condition() or not self._alive(), timeout=PATIENCE)
        if not self._alive():
            for reader in self._readers:
                reader.join(timeout=PATIENCE)
        return condition()

    def _alive(self) -> bool:
        return self._open > 0

    def wait_until_ready(self) -> Server:
        """Wait for the line that says where the server runs."""
        try:
            self.wait_for(r" running on .*Press CTRL\+C")
        except AssertionError:
            self.kill()
            raise
        return self

    # Where it is

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        if self._port is None:
            self._port = int(self.wait_for(r" running on \S*http://\S*:(\d+)")[1])
        return self._port

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    # Talking to it

    def connect(self) -> Client:
        """Open a connection; a context manager that closes it."""
        if self.uds is not None:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(PATIENCE)
            sock.connect(str(self.uds))
        else:
            sock = socket.create_connection((self.host, self.port), timeout=PATIENCE)
            # A test's writes are to arrive as they were made.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Client(sock)

    def get(self, path: str = "/", *headers: tuple[str, str]) -> Any:
        """Send a GET on a connection of its own, and return the response."""
        with self.connect() as client:
            return client.get(path, *headers)

    def notes(self, name: str, count: int = 1) -> list[Any]:
        """Wait until an application of `tests.apps` noted something `count` times; see `board`."""
        response = self.get(f"/notes/{quote(name)}?{count}")
        assert response.status == 200, response
        return json.loads(response.body)  # type: ignore[no-any-return]

    # The process

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end, and return the status: negative if a signal ended the process."""
        status = self.process.wait(timeout=PATIENCE)
        for reader in self._readers:
            reader.join(timeout=PATIENCE)
        return status

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ask for the end, wait for it, and return the status."""
        self.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """End the process whatever it does, and leave nothing open."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def check(self) -> None:
        """Fail if the server crashed or panicked."""
        status = self.process.poll()
        assert status in (None, 0, 3, -signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL), (
            f"the server ended with status {status}:\n" + "\n".join(self.log)
        )
        panics = self.lines("panicked at|PanicException")
        assert not panics, "\n".join(self.log)

    # What it costs

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        return psutil.Process(self.pid).memory_info().rss  # type: ignore[no-any-return]

    def descriptors(self) -> int:
        """Return the number of open file descriptors."""
        return psutil.Process(self.pid).num_fds()  # type: ignore[no-any-return]

    def cpu(self) -> float:
        """Return the seconds of processor time used so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


def _arguments(options: dict[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if PRODUCT != "ferricorn" and name in _OWN_OPTIONS:
            continue
        flag = "--" + name.replace("_", "-")
        if value is True:
            yield flag
        elif value is False:
            yield flag.replace("--", "--no-", 1)
        else:
            for each in value if isinstance(value, list) else [value]:
                yield flag
                yield str(each)


def _environment(added: dict[str, str]) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FERRICORN_", "UVICORN_")) and name != "WEB_CONCURRENCY"
    }
    return {**inherited, "PYTHONUNBUFFERED": "1", **added}
