"""What the unit tests share: a native floor that only takes notes, and a memory of log lines."""

from __future__ import annotations

import contextvars
import logging
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

LOGGERS = ["uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"]


class FakeNative:
    """Stands in for `_native.Server`: counts what a test puts in, and remembers its calls."""

    def __init__(self, sites: Any, loop: Any, **settings: Any) -> None:
        self.sites = sites
        self.loop = loop
        self.settings = settings
        self.connections = 0
        self.tasks = 0
        self.requests = 0
        self.sockets = 0
        self.calls: list[str] = []
        self.rows: list[Any] = []
        self.listening: list[tuple[Any, ...]] = []
        self.turns: list[contextvars.Context] = []
        self._watched, self._waker = socket.socketpair()

    def listen(self, fd: int) -> None:
        with socket.socket(fileno=fd) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            self.listening.append(sock.getsockname())
            sock.detach()

    def fileno(self) -> int:
        return self._watched.fileno()

    def wake(self) -> None:
        self._waker.send(b"x")

    def turn(self) -> None:
        self._watched.recv(100)
        self.turns.append(contextvars.copy_context())

    def dismiss(self) -> tuple[int, int]:
        return 0, 0

    def announce_stop(self) -> None:
        if "announce_stop" not in self.calls:
            self.calls.append("announce_stop")

    def close_sockets(self, count: int) -> None:
        self.sockets -= count
        self.calls.append(f"close {count}")

    def inflight(self) -> list[Any]:
        return self.rows

    def stop(self) -> None:
        self.calls.append("stop")

    def close_log(self) -> None:
        pass

    def abort(self) -> None:
        self.calls.append("abort")
        self.connections = self.tasks = 0
        self._watched.close()
        self._waker.close()


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> list[FakeNative]:
    """Put the fake in the place of the native server; return what gets made."""
    from ferricorn import server

    made: list[FakeNative] = []

    def make(*args: Any, **settings: Any) -> FakeNative:
        made.append(FakeNative(*args, **settings))
        return made[-1]

    monkeypatch.setattr(server, "_native", SimpleNamespace(Server=make))
    return made


class Lines(logging.Handler):
    """The log as a list of `LEVEL: text`."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        return [f"{record.levelname}: {record.getMessage()}" for record in self.records]


@pytest.fixture
def listen(_restored_loggers: None) -> Callable[[str, int], Lines]:
    """Return a function that collects what is written on a logger, from a level on."""

    def listen(name: str, level: int) -> Lines:
        lines = Lines()
        logger = logging.getLogger(name)
        logger.addHandler(lines)
        logger.setLevel(level)
        return lines

    return listen


@pytest.fixture
def log(listen: Callable[[str, int], Lines]) -> Lines:
    """Collect what is written on `uvicorn.error`."""
    return listen("uvicorn.error", logging.INFO)


@pytest.fixture(autouse=True)
def _restored_loggers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Undo what a `Config` does to the loggers and reads from the environment."""
    for product in ("FERRICORN", "UVICORN"):
        monkeypatch.delenv(f"{product}_PORT", raising=False)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(each.handlers[:], each.level, each.propagate) for each in loggers]
    yield
    for each, (handlers, level, propagate) in zip(loggers, before, strict=True):
        each.handlers[:] = handlers
        each.setLevel(level)
        each.propagate = propagate
