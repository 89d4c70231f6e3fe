"""The driver of WSGI applications: threads that see to the sockets and run the requests.

The event loop has no part in a request; it waits for signals and for the end. The threads are
Python's own, so that an application finds them named and with everything that `threading` says of
a thread. They are daemons: one that is stuck in the application does not keep a process alive.
"""

from __future__ import annotations

import atexit
import itertools
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ferricorn._native import FileWrapper
from ferricorn.drivers.reactor import ReactorDriver
from ferricorn.middleware.proxy_headers import ProxyReports, TrustedHosts

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferricorn.config import Config
    from ferricorn.endpoint import Endpoint
    from ferricorn.typing import Scope

# How long the end waits for threads that do not run the application.
_PATIENCE = 2.0


_left_behind: set[ThreadsDriver] = set()


def end_past_threads(status: int) -> None:
    """End the process here, if there are threads that are still in the application.

    To be called when nothing is left to do. Python (before 3.14) ends a daemon thread that comes
    back while the interpreter is taken down, with native frames on its stack: that is a crash.
    """
    if any(not driver.has_ended() for driver in _left_behind):
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(status)


class Threads:
    """What the native floor has to know of a WSGI application's threads."""

    def __init__(self, config: Config) -> None:
        self.threads = config.threads
        self.queue = config.wsgi_queue
        self.parallel = _run_in_parallel()
        self.memory = config.wsgi_buffer_size
        self.environ = _template(config)
        self.report: Callable[[Scope], None] | None = None
        if config.proxy_headers:
            trusted = TrustedHosts(config.forwarded_allow_ips)
            self.report = ProxyReports(trusted, config.forwarded_headers).report
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


def _template(config: Config) -> dict[str, Any]:
    """Return what the environ of every request says, in the order that environs have."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": config.root_path.encode().decode("latin-1"),
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "RAW_URI": "",
        "REQUEST_URI": "",
        "REMOTE_ADDR": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "ferricorn",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": config.threads > 1,
        "wsgi.multiprocess": config.workers > 1,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }


class ThreadsDriver(ReactorDriver):
    """Lets threads serve; the loop only looks on."""

    async def start(self, endpoint: Endpoint) -> None:
        """Serve what connects to the endpoint."""
        self.listen(endpoint)
        self._native.begin()

    def has_ended(self) -> bool:
        """Say whether no thread is left."""
        return self._native.dismiss()

    def close(self) -> None:
        """Cut every connection. Threads that are in the application stay there."""
        patience = time.monotonic() + _PATIENCE
        while not (ended := self._native.dismiss()):
            if self._native.tasks or time.monotonic() > patience:
                break
            time.sleep(0.001)
        self._native.abort()
        if not ended:
            _left_behind.add(self)
