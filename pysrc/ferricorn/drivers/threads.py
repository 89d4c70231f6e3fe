"""The threads of WSGI applications, and the driver in which they do without the event loop.

Where there are only WSGI applications, threads see to the sockets and run the requests; the loop
waits for signals and for the end. Beside ASGI applications the loop drives the native floor, by one
of the other drivers, and threads come when they are called.

The threads are Python's own, so that an application finds them named and with everything that
`threading` says of a thread. They are daemons: one that is stuck in the application does not keep a
process alive.
"""

from __future__ import annotations

import atexit
import itertools
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ferricorn.drivers.reactor import ReactorDriver

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferricorn._native import Server as NativeServer
    from ferricorn.config import Config
    from ferricorn.endpoint import Endpoint

# How long the end waits for threads that do not run the application.
_PATIENCE = 2.0


_left_behind: set[NativeServer] = set()


def end_past_threads(status: int) -> None:
    """End the process here, if there are threads that are still in the application.

    To be called when nothing is left to do. Python (before 3.14) ends a daemon thread that comes
    back while the interpreter is taken down, with native frames on its stack: that is a crash.
    """
    if any(native.dismiss()[0] for native in _left_behind):
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(status)


def dismiss(native: NativeServer) -> None:
    """Have the threads end that are not in the application. Others stay there."""
    patience = time.monotonic() + _PATIENCE
    left, inside = native.dismiss()
    while left > inside and time.monotonic() < patience:
        time.sleep(0.001)
        left, inside = native.dismiss()
    if left:
        _left_behind.add(native)


class Threads:
    """What the native floor has to know of the threads."""

    def __init__(self, config: Config) -> None:
        self.fresh = config.reset_contextvars
        self.threads = config.threads
        self.queue = config.wsgi_queue
        self.parallel = _run_in_parallel()
        self.memory = config.wsgi_buffer_size
        self.timeout = config.wsgi_timeout or None
        self.leads = config.threads_lead
        self._numbers = itertools.count(1)

    def spawn(self, function: Callable[[], None]) -> None:
        """Have a new thread call the function."""
        name = f"wsgi-{next(self._numbers)}"
        threading.Thread(target=function, name=name, daemon=True).start()


def _run_in_parallel() -> bool:
    """Return whether threads run Python at the same time.

    Asked when the application was imported: an extension that was not made for it takes it back.
    """
    is_gil_enabled: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return is_gil_enabled is not None and not is_gil_enabled()


class ThreadsDriver(ReactorDriver):
    """Lets threads serve; the loop only looks on."""

    async def start(self, endpoint: Endpoint) -> None:
        """Serve what connects to the endpoint."""
        self.listen(endpoint)
        self._native.begin()
