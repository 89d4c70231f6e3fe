"""A new parent process beside the old one, on the same sockets: a change of everything but them.

The child begins anew with the command line that this process was started by, so that interpreter
and package may be others by now. Sockets go to it as a service manager would pass them, and a pipe
on which it says that it serves. If it ends before that, or takes too long, nothing has happened.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ferricorn import systemd

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

_READY_FD = "FERRICORN_READY_FD"

# Longer than any application takes to import, shorter than anybody waits.
_PATIENCE = 120.0

# Where descriptors are out of the way of those that are passed.
_ABOVE = 64


class Upgrade:
    """The start of a new parent, `pid`; it is under way until `outcome()` says how it went."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._pipe, theirs = os.pipe()
        self._deadline = time.monotonic() + _PATIENCE
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _begin_anew([sock.fileno() for sock in sockets], theirs)
            finally:
                os._exit(127)
        os.close(theirs)
        os.set_blocking(self._pipe, False)

    def outcome(self) -> bool | None:
        """Return whether the new parent serves; None while that is open."""
        try:
            word = os.read(self._pipe, 1)
        except BlockingIOError:
            if time.monotonic() < self._deadline:
                return None
            word = b""
        if not word:
            self.abandon()
            return False
        os.close(self._pipe)
        return True

    def abandon(self) -> None:
        """End the new parent."""
        os.close(self._pipe)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _begin_anew(sockets: list[int], pipe: int) -> None:
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    copies = [fcntl(fd, F_DUPFD_CLOEXEC, _ABOVE) for fd in (*sockets, pipe)]
    for place, fd in enumerate(copies, systemd.FIRST_FD):
        os.dup2(fd, place)
    environment = {
        **os.environ,
        "LISTEN_FDS": str(len(sockets)),
        "LISTEN_PID": str(os.getpid()),
        _READY_FD: str(systemd.FIRST_FD + len(sockets)),
    }
    if "WATCHDOG_PID" in environment:  # Whose signs of life the service manager waits for.
        environment["WATCHDOG_PID"] = str(os.getpid())
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def take_ready_fd() -> int | None:
    """Return where the old parent waits for a word, if there is one; for this process alone."""
    fd = os.environ.pop(_READY_FD, None)
    if fd is None:
        return None
    os.set_inheritable(int(fd), False)
    return int(fd)


def tell_ready(fd: int) -> None:
    """Say that this process serves."""
    with suppress(OSError):  # The old parent has given up waiting.
        os.write(fd, b"r")
    os.close(fd)
