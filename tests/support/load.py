"""Clients that never rest, and what went wrong for them.

Each thread opens a connection, sends a few requests on it and opens the next, as long as the block
runs. Every request counts: a connection that is refused, reset or closed without a response is a
failure, and nothing is tried again. A response that says `connection: close` is obeyed.
"""

from __future__ import annotations

import threading
from collections import Counter

from tests.support.client import Client, CutError
from tests.support.server import PATIENCE, Server

_REQUESTS_PER_CONNECTION = 20


class Load:
    """Requests from several threads while the `with` block runs."""

    def __init__(self, server: Server, path: str = "/", threads: int = 4) -> None:
        self.bodies: Counter[str] = Counter()
        self.failures: list[str] = []
        self._server = server
        self._path = path
        self._over = threading.Event()
        self._answered = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int = 100) -> None:
        """Wait until so many more requests were answered or failed."""
        with self._answered:
            before = self._seen()
            assert self._answered.wait_for(lambda: self._seen() >= before + count, PATIENCE)

    def _seen(self) -> int:
        return sum(self.bodies.values()) + len(self.failures)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with self._server.connect() as client:
                    self._talk(client)
            except (OSError, CutError) as error:
                with self._answered:
                    self.failures.append(repr(error))
                    self._answered.notify_all()

    def _talk(self, client: Client) -> None:
        for _ in range(_REQUESTS_PER_CONNECTION):
            response = client.get(self._path)
            with self._answered:
                if response.status == 200:
                    self.bodies[response.text] += 1
                else:
                    self.failures.append(f"status {response.status}")
                self._answered.notify_all()
            if self._over.is_set() or "close" in response.all("connection"):
                return
