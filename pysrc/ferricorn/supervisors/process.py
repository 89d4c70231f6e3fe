"""One worker process as its parent sees it: its start, what it says, its end.

The parent holds one end of a socket pair and only reads: signals are its way to speak. It must stay
small, so the modules that serve are imported by the child alone. Nothing here waits, but for
`join()`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferricorn.config import Config
    from ferricorn.supervisors.board import Board

# A message is one octet; see `watched.Word`, which this side does not import.
_READY, _LIMIT = b"r", b"l"

_parents_ends: set[socket.socket] = set()

logger = logging.getLogger("uvicorn.error")


class Process:
    """A worker: `ready` once it serves, `retired` since it was told to end.

    `cause` is why it was killed, if it was. `target` is what it runs in the place of a server of
    its own.
    """

    def __init__(
        self,
        config: Config,
        sockets: list[socket.socket],
        target: Callable[..., None] | None = None,
        board: Board | None = None,
    ) -> None:
        self.config = config
        self._board = board
        self._place = board.take() if board is not None else None
        self.channel, self._child = socket.socketpair()
        self.channel.setblocking(False)
        context: Any = multiprocessing.get_context("fork" if config.preload else "spawn")
        self.process = context.Process(
            target=_start, args=(config, sockets, self._child, board, self._place, target)
        )
        _parents_ends.add(self.channel)
        self.ready = False
        self.retired: float | None = None
        self.cause: str | None = None
        self.at_limit = False
        self.born = time.monotonic()
        self._heard = 0.0
        self._asked = False
        self._insisted = False

    def start(self) -> None:
        """Start the process.

        Signals are held back until the child can handle them: one to the whole group, as a terminal
        sends it, would end a child that still starts.
        """
        if hasattr(signal, "pthread_sigmask"):
            _start_tracker()
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                self.process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        else:
            self.process.start()
        self._child.close()

    @property
    def pid(self) -> int | None:
        """The process id, None before the start."""
        return self.process.pid  # type: ignore[no-any-return]

    @property
    def exitcode(self) -> int | None:
        """The exit status, negative for a signal; None while the process runs."""
        return self.process.exitcode  # type: ignore[no-any-return]

    @property
    def age(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.born

    def listen(self) -> None:
        """Take in what the worker has said."""
        with suppress(OSError):  # Nothing yet, or nobody any more, which the exit status tells.
            while words := self.channel.recv(1024):
                self.ready = self.ready or _READY in words
                self.at_limit = self.at_limit or _LIMIT in words
                self._heard = time.monotonic()

    def is_alive(self, timeout: float = 5) -> bool:
        """Return whether the process runs and its event loop has turned within the timeout.

        Before it is ready the first is enough, and a timeout of 0 is none.
        """
        if self.exitcode is not None:
            return False
        silent = time.monotonic() - self._heard
        return not (self.ready and timeout and silent > timeout)

    def memory(self) -> int:
        """Return the resident memory in bytes, 0 where the system does not say."""
        with suppress(OSError), open(f"/proc/{self.pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        return 0

    def explain(self) -> None:
        """Have a silent worker write its stacks and its requests, once."""
        if not self._asked and hasattr(signal, "SIGQUIT"):
            self._asked = True
            self._signal(signal.SIGQUIT)

    def drain(self) -> None:
        """Have the process say that its end is near, and serve on."""
        if hasattr(signal, "SIGUSR1"):
            self._signal(signal.SIGUSR1)

    def terminate(self) -> None:
        """Ask the process to end gracefully."""
        if self.exitcode is None:
            if self.retired is None:
                self.retired = time.monotonic()
            self._signal(signal.SIGTERM)
            logger.info("Terminated child process [%d]", self.pid)

    def interrupt(self) -> None:
        """Insist: a worker that serves leaves its clients, one that does not is killed.

        So is one that is told again, as its event loop may hang.
        """
        if self.ready and not self._insisted:
            self._insisted = True
            self._signal(signal.SIGINT)
        else:
            self.kill("it did not end")

    def kill(self, cause: str | None = None) -> None:
        """End the process at once."""
        self.cause = self.cause or cause
        if self.retired is None:
            self.retired = time.monotonic()
        with suppress(ProcessLookupError):
            self.process.kill()

    def join(self) -> None:
        """Wait for the end of the process, and give back what it took here."""
        self.process.join()
        _parents_ends.discard(self.channel)
        self.channel.close()
        if self._board is not None and self._place is not None:
            self._board.give_back(self._place)

    def describe_end(self) -> str:
        """Return why the process ended, for the log."""
        code = self.exitcode or 0
        reason = f"exit status {code}"
        if code < 0:
            with suppress(ValueError):
                reason = f"killed by {signal.Signals(-code).name}"
        if code == -9 and self.cause is None:
            reason += ", as the kernel does when memory runs out"
        return f"{self.cause}, {reason}" if self.cause else reason

    def _signal(self, number: int) -> None:
        if self.exitcode is None and self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _start_tracker() -> None:
    """Start the helper of `multiprocessing` that would otherwise be started with the first child.

    It lifts the mask of signals when it starts, and it would not survive a SIGHUP to the group.
    """
    from multiprocessing import resource_tracker

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, before)


def _start(
    config: Config,
    sockets: list[socket.socket],
    channel: socket.socket,
    board: Board | None,
    place: int | None,
    target: Callable[..., None] | None,
) -> None:
    if config.preload:
        # A forked child has all that its parent had open. These would hide the parent's end.
        signal.set_wakeup_fd(-1)
        for end in _parents_ends:
            end.close()
    from ferricorn.supervisors.worker import work

    on_board = None if board is None or place is None else (board.memory, place)
    work(config, sockets, channel, on_board, target)
