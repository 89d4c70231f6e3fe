"""Clients that never rest, and what went wrong for them.

`Load` is strict: each thread opens a connection, sends a few requests on it and opens the next, as
long as the block runs. Every request counts: a connection that is refused, reset or closed without
a response is a failure, and nothing is tried again. A response that says `connection: close` is
obeyed. `Wrk` is fast: as many requests as there is time for, on a few connections.
"""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
from tests.support.client import Client, CutError
from tests.support.server import PATIENCE, Server

_REQUESTS_PER_CONNECTION = 20

# It is told to end before.
_LONGEST_LOAD = "3600s"


class Load:
    """Requests from several threads while the `with` block runs.

    `lost` are the client's addresses of connections on which a request got no answer, `finished`
    those of all others that have ended.
    """

    def __init__(self, server: Server, path: str = "/", threads: int = 4) -> None:
        self.bodies: Counter[str] = Counter()
        self.failures: list[str] = []
        self.lost: set[Any] = set()
        self.finished: set[Any] = set()
        self._server = server
        self._path = path
        self._over = threading.Event()
        self._news = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until answers, failures or requests have made this true."""
        with self._news:
            assert self._news.wait_for(condition, PATIENCE), self.bodies

    def wait_for_more(self, count: int = 100) -> None:
        """Wait until so many more requests were answered or failed."""
        before = self._seen()
        self.wait_until(lambda: self._seen() >= before + count)

    def wait_for_answer_of(self, pids: list[int]) -> None:
        """Wait for an answer of one of these processes, whose answer is its number."""
        self.wait_until(lambda: any(str(pid) in self.bodies for pid in pids))

    def _seen(self) -> int:
        return sum(self.bodies.values()) + len(self.failures)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with self._server.connect() as client:
                    self._talk(client)
            except (OSError, CutError) as error:
                with self._news:
                    self.failures.append(repr(error))
                    self._news.notify_all()

    def _talk(self, client: Client) -> None:
        ended, name = self.lost, client.sock.getsockname()
        try:
            for _ in range(_REQUESTS_PER_CONNECTION):
                response = client.get(self._path)
                with self._news:
                    if response.status == 200:
                        self.bodies[response.text] += 1
                    else:
                        self.failures.append(f"status {response.status}")
                    self._news.notify_all()
                if self._over.is_set() or "close" in response.all("connection"):
                    break
            ended = self.finished
        finally:
            ended.add(name)


class Wrk:
    """wrk while the `with` block runs; then `requests` were answered, and `errors` were not."""

    def __init__(self, server: Server, connections: int = 8) -> None:
        self._command = ["wrk", "-t1", f"-c{connections}", f"-d{_LONGEST_LOAD}", server.url]
        self._connections = connections
        self.requests = self.errors = 0
        self.report = ""

    def __enter__(self) -> Wrk:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE
        while len(self.addresses()) < self._connections:
            assert time.monotonic() < deadline, "wrk does not connect"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self.report, _ = self._process.communicate(timeout=PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
        self.requests = self._number(r"(\d+) requests in")
        kinds = ("connect", "read", "write", "timeout")
        self.errors = sum(self._number(rf"Socket errors:.*{kind} (\d+)") for kind in kinds)
        self.errors += self._number(r"Non-2xx or 3xx responses: (\d+)")

    def addresses(self) -> set[Any]:
        """Return the client's addresses of the connections that are open."""
        return {tuple(each.laddr) for each in _established(self._process.pid)}

    def _number(self, pattern: str) -> int:
        found = re.search(pattern, self.report)
        return int(found[1]) if found else 0


def clients_of(pid: int) -> set[Any]:
    """Return the addresses of those who are connected to a process."""
    return {tuple(each.raddr) for each in _established(pid)}


def _established(pid: int) -> Iterator[Any]:
    for each in psutil.Process(pid).net_connections("tcp"):
        if each.status == psutil.CONN_ESTABLISHED:
            yield each
