"""A worker of gunicorn: gunicorn owns the processes and the sockets, this serves in one of them.

    gunicorn -k ferricorn.workers.FerricornWorker module:app

Gunicorn's settings become options of the server, and a subclass's `CONFIG_KWARGS` come after them.
Nothing happens before the fork: the process that makes a worker is gunicorn's own. The sign of life
that gunicorn waits for comes from the event loop from its first turn to its last, so that a slow
start or end of the application is no hang, and a loop that stands still is one. What gunicorn kills
at the end of `graceful_timeout` ends by itself before.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from ferricorn.checks import OptionError
from ferricorn.config import Config
from ferricorn.drivers.threads import end_past_threads
from ferricorn.logging import LOGGING_CONFIG, AccessFormatter
from ferricorn.loops.runner import run_coroutine
from ferricorn.server import Server

if TYPE_CHECKING:
    from types import FrameType

# Of `graceful_timeout`, the application's end gets this many seconds, or half if it is short.
_FOR_THE_END = 3.0

# A connection that is closed while its client sends a request loses it, though another worker could
# have answered. So a worker serves what it has accepted, and says `connection: close`, this long.
_LAST_CALL = 0.5

# Seconds between two signs of life: often enough to see soon that gunicorn is gone.
_BEAT = 1.0


class FerricornWorker(Worker):  # type: ignore[misc]
    """Serves an ASGI application; subclasses set options of `Config` in `CONFIG_KWARGS`."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "auto", "http": "auto"}

    alive: bool
    config: Config
    server: Server | None = None

    def load_wsgi(self) -> None:
        """Import the application, and see whether it can be served as gunicorn is set up."""
        options = {**self._options(), **self.CONFIG_KWARGS}
        # A logging configuration of the worker's, as JSON is one, has no part of gunicorn's.
        if options.get("log_format") != "json":
            options.setdefault("log_config", None)
        if options.get("log_config", LOGGING_CONFIG) is None:
            self._share_logs()
        super().load_wsgi()
        self.config = Config(self.wsgi, **options)
        if self.config.drain_delay:
            raise OptionError(
                "drain_delay", "gunicorn's end has no delay that workers serve on for."
            )

    def _options(self) -> dict[str, Any]:
        cfg = self.cfg
        grace = cfg.graceful_timeout
        options = {
            "timeout_keep_alive": cfg.keepalive,
            "timeout_graceful_shutdown": max(grace - _FOR_THE_END, grace / 2),
            "forwarded_allow_ips": cfg.forwarded_allow_ips,
            "backlog": cfg.backlog,
        }
        # Both versions are served, whichever gunicorn is told to expect. Its list is one of
        # addresses: whoever may use a Unix socket counts as allowed.
        if cfg.proxy_protocol not in (False, "off"):
            options["proxy_protocol"] = True
            options["proxy_allow_ips"] = [*cfg.proxy_allow_ips, "unix"]
        if self.max_requests < sys.maxsize:
            options["limit_max_requests"] = self.max_requests
        connections = cfg.settings["worker_connections"]
        if connections.get() != connections.default:
            options["limit_concurrency"] = connections.get()
        threads = cfg.settings["threads"]
        if threads.get() != threads.default:
            options["threads"] = threads.get()
        form = cfg.settings["access_log_format"]
        if form.get() != form.default:
            options["access_log_format"] = form.get()
        if cfg.is_ssl:
            names = ("keyfile", "certfile", "cert_reqs", "ca_certs", "ciphers")
            options |= {f"ssl_{name}": cfg.ssl_options[name] for name in names}
        return options

    def _share_logs(self) -> None:
        """Let gunicorn's handlers write what the server says, where the user chose no others."""
        for name, source in (("error", self.log.error_log), ("access", self.log.access_log)):
            logger = logging.getLogger(f"uvicorn.{name}")
            if not logger.handlers:
                logger.handlers = source.handlers
                logger.propagate = source.propagate
                logger.setLevel(source.level)
        for handler in self.log.access_log.handlers:
            if getattr(handler, "_gunicorn", False):
                # Gunicorn's shows the message, and a line in the user's format is none.
                handler.setFormatter(AccessFormatter(self.log.access_fmt, use_colors=False))

    def run(self) -> None:
        """Serve until the end. Called by gunicorn in the worker's process."""
        self.server = Server(self.config)
        self.server.should_exit = not self.alive
        self.server.last_call = _LAST_CALL
        run_coroutine(self._serve(self.server), self.config.get_loop_factory())
        end_past_threads(int(self.aborted))
        if self.aborted:
            sys.exit(1)
        if not self.server.started and self.alive:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _serve(self, server: Server) -> None:
        beat = asyncio.ensure_future(self._beat(server))
        try:
            await server.serve(sockets=[listener.sock for listener in self.sockets])
        finally:
            beat.cancel()

    async def _beat(self, server: Server) -> None:
        # `timeout` is half of gunicorn's setting, and 0 if nobody waits for a sign.
        pause = min(_BEAT, self.timeout / 2) or _BEAT
        while True:
            self.notify()
            if os.getppid() != self.ppid and not server.should_exit:
                self.log.info("Parent changed, shutting down: %s", self)
                server.should_exit = True
            await asyncio.sleep(pause)

    def init_signals(self) -> None:
        """Take gunicorn's handlers; the event loop has its own way to be woken by a signal."""
        super().init_signals()
        signal.set_wakeup_fd(-1)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End gracefully. Called for a SIGTERM while the server has not taken the signal over."""
        super().handle_exit(sig, frame)
        if self.server is not None:
            self.server.should_exit = True

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """End quickly: requests in flight are cut, and the application is told of its end."""
        if self.alive:
            self.alive = False
            self.cfg.worker_int(self)
        if self.server is None:
            sys.exit(0)
        self.config.timeout_graceful_shutdown = 0
        self.server.should_exit = True

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """End a worker whose loop stands still, and say where it does.

        The exit is raised in what holds the loop up; an application that catches it, as the server
        does for the sake of the response, only gets as far as the loop's next turn.
        """
        self.aborted = True
        if self.server is not None:
            self.server.should_exit = self.server.force_exit = True
        stack = "".join(traceback.format_stack(frame))
        self.log.critical("Worker (pid:%s) hangs here:\n%s", self.pid, stack)
        super().handle_abort(sig, frame)


class FerricornH11Worker(FerricornWorker):
    """The same on asyncio's own event loop, as the worker whose name it takes the place of."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "asyncio", "http": "h11"}
