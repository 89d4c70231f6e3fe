"""One server in one process: the sequence from the application's start to its end.

Owns the order of things, and the signals. Start: load, lifespan, sockets, driver. Then a tick every
tenth of a second that looks whether to end; serving itself happens between loop and native
floor, without this file. End: serve on for the drain delay, accept no more, wait for connections,
then for tasks, then the lifespan. The first SIGINT or SIGTERM asks for that end, a second ends the
delay, and a second SIGINT cuts everything short.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import os
import random
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ferricorn import _native, drivers
from ferricorn.application import STARTUP_FAILURE
from ferricorn.drain import DrainEvent
from ferricorn.drivers.threads import Threads, ThreadsDriver, dismiss
from ferricorn.endpoint import Endpoint
from ferricorn.inflight import table
from ferricorn.logging import access_log, access_stream, log_error, paint
from ferricorn.loops.runner import run_coroutine
from ferricorn.stuck import StuckThreads
from ferricorn.websocket import WebSockets

if TYPE_CHECKING:
    import mmap
    import socket
    from collections.abc import Coroutine, Iterator
    from types import FrameType

    from ferricorn.config import Config
    from ferricorn.drivers import Driver
    from ferricorn.drivers.reactor import Listener

HANDLED_SIGNALS = [signal.SIGINT, signal.SIGTERM]
if sys.platform == "win32":
    HANDLED_SIGNALS.append(signal.SIGBREAK)  # What Windows sends for Ctrl+Break.

TICK = 0.1
"""Seconds between two looks at whether to end: short for a person, long for a processor."""

_TICKS_PER_DAY = 864_000

# What is idle is closed within a turn or two of the loop: that is no wait to speak of.
_SETTLE = 0.01

# Cancelled tasks get this long to clean up before the lifespan takes away what they use.
_CANCEL_GRACE = 1.0

logger = logging.getLogger("uvicorn.error")


class ServerState:
    """What the server counts. `connections` and `tasks` have a length, as uvicorn's sets have."""

    def __init__(self) -> None:
        self.native: _native.Server | None = None
        # To be looked at: the native floor has its own copy, and adds the date.
        self.default_headers: list[tuple[bytes, bytes]] = []

    @property
    def total_requests(self) -> int:
        """Requests since the start."""
        return self.native.requests if self.native else 0

    @property
    def connections(self) -> range:
        """The connections open now, numbered."""
        return range(self.native.connections if self.native else 0)

    @property
    def tasks(self) -> range:
        """The runs of the application that are under way, numbered."""
        return range(self.native.tasks if self.native else 0)


class Server:
    """Serves one configuration: `run()` blocks, `serve()` is for a loop that runs already."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.server_state = ServerState()
        self.servers: list[Listener] | list[asyncio.Server] = []
        self.started = False
        self.should_exit = False
        self.force_exit = False
        self.last_notified = 0.0
        # For servers whose listeners others have too: between the last connection and the end of
        # idle ones, so many seconds are for requests that are on their way.
        self.last_call = 0.0
        # And the memory in which they see how many connections each has, with this one's place.
        self.board: tuple[mmap.mmap, int] | None = None
        # Seconds between the wish for the end and the end; who is in a hurry may shorten it.
        self.drain_delay = config.drain_delay
        # Begins the drain with the next tick, though the end is somebody else's to ask for.
        self.should_drain = False
        self._drains = asyncio.Event()
        self._drained_at = 0.0
        self._stopped_at = 0.0
        self.limit_max_requests = config.limit_max_requests
        if self.limit_max_requests is not None:
            self.limit_max_requests += random.randint(0, config.limit_max_requests_jitter)
        self._captured_signals: list[int] = []
        self._endpoint: Endpoint | None = None
        self._driver: Driver | None = None
        self._stuck: StuckThreads | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on a new event loop until the end."""
        factory = self.config.get_loop_factory()
        run_coroutine(self.serve(sockets=sockets), factory)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on the running event loop until the end.

        Signals are captured in the main thread only, and raised again after the end.
        """
        with self.capture_signals():
            await self._serve(sockets)

    async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
        if not self.config.loaded:
            self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        pid = os.getpid()
        try:
            self._log_process("Started server process [%d]", pid)
            await self.startup(sockets=sockets)
            if self.started:
                await self.main_loop()
                await self.shutdown(sockets=sockets)
                self._log_process("Finished server process [%d]", pid)
        finally:
            self._release()
            self._close_log()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen; `started` says whether both went well.

        Given `sockets` are bound already, and are closed at the end.
        """
        await self._unless_forced(
            self.lifespan.startup(),
            hint="Waiting for application startup to end. (CTRL+C to force quit)",
        )
        if self.lifespan.should_exit or self.force_exit:
            self.should_exit = True
            return

        try:
            if sockets is None:
                self._endpoint = Endpoint.open(self.config)
            else:
                self._endpoint = Endpoint(sockets, self.config.backlog)
        except OSError as error:
            logger.error(error)
            await self._unless_forced(self.lifespan.shutdown())
            sys.exit(STARTUP_FAILURE)

        loop = asyncio.get_running_loop()
        driver = (
            ThreadsDriver if self.config.threads_lead else drivers.choose(self.config.driver, loop)
        )
        native = self._make_native(loop, poll=driver.poll)
        fresh = self.config.reset_contextvars
        context = contextvars.Context() if fresh else self.lifespan.context
        self.server_state.native = native
        if self.config.wsgi_timeout:
            self._stuck = StuckThreads(native, self.config)
        name = self.config.server_name
        own = [(b"server", name)] if name is not None else []
        self.server_state.default_headers = [*own, *self.config.encoded_headers]
        self._driver = driver(native, loop, context)
        await self._driver.start(self._endpoint)
        self.servers = self._driver.servers

        # Threads serve already: whoever reads the line may ask for the end at once.
        self.started = True
        self._endpoint.announce()

    def _make_native(self, loop: asyncio.AbstractEventLoop, *, poll: bool) -> _native.Server:
        config = self.config
        site = config.sites[-1]
        site.state = self.lifespan.state
        if config.loaded_app is not site.forwarded:
            # Somebody's own configuration put it there.
            site.application = site.forwarded = config.loaded_app
        threaded = any(site.environ is not None for site in config.sites)
        form = config.access_format() if config.access_log else None
        return _native.Server(
            config.sites,
            loop,
            root_path=config.root_path,
            server_header=config.server_name,
            date_header=config.sends_date,
            headers=config.encoded_headers,
            access_log=access_log() if config.access_log else None,
            access_stream=access_stream(made=form is not None) if config.access_log else None,
            access_format=form,
            error_log=log_error,
            websocket=WebSockets.of(config),
            limit_concurrency=config.limit_concurrency,
            timeout_keep_alive=config.timeout_keep_alive,
            timeout_request_head=config.timeout_request_head,
            timeout_request_body=config.timeout_request_body,
            timeout_write=config.timeout_write,
            proxy_peers=config.proxy_peers if config.proxy_protocol else None,
            poll=poll,
            drain=DrainEvent(self._drains),
            board=self.board if poll else None,
            wsgi=Threads(config) if threaded else None,
        )

    async def main_loop(self) -> None:
        """Tick until it is time to end."""
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % _TICKS_PER_DAY
            await asyncio.sleep(TICK)

    async def on_tick(self, counter: int) -> bool:
        """Do what is due; return whether it is time to end."""
        if self.should_drain:
            self._begin_drain()
        if self._drains.is_set():
            self._thin_out()
        if self._stuck is not None:
            self._stuck.look()
        if self.config.callback_notify is not None:
            now = time.monotonic()
            if now - self.last_notified > self.config.timeout_notify:
                self.last_notified = now
                await self.config.callback_notify()

        if self.should_exit:
            return True

        complaint = self.worn_out()
        if complaint is not None:
            logger.info("%s Terminating process.", complaint)
        return complaint is not None

    def worn_out(self) -> str | None:
        """Say why this process should serve no longer, if so."""
        limit = self.limit_max_requests
        if limit is not None and self.server_state.total_requests >= limit:
            return f"Maximum request limit of {limit} exceeded."
        return self._stuck.complaint() if self._stuck is not None else None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: listen no more, let connections and tasks finish, then end the application."""
        await self._drain()
        logger.info("Shutting down")
        if self._driver is not None and self.last_call:
            self._driver.leave()
            # The loop's next turn brings what the listeners still had.
            await asyncio.sleep(_SETTLE)
            await self._gone("connections", time.monotonic() + self.last_call)
        if self._driver is not None:
            self._driver.stop()
        if self._endpoint is not None:
            self._endpoint.close()

        if not await self._all_gone():
            logger.error(
                "Cancel %s running task(s), timeout graceful shutdown exceeded",
                len(self.server_state.tasks),
            )
            self._log_in_flight()
        elif self.force_exit:
            self._log_in_flight()
        self._release()
        if not self.force_exit:
            await self._gone("tasks", time.monotonic() + _CANCEL_GRACE)
        self._close_log()
        if not self.force_exit:
            await self._unless_forced(self.lifespan.shutdown())

    async def _drain(self) -> None:
        """Tell applications of the end, and serve on for the delay: who asks again ends it."""
        self._begin_drain()
        since = time.monotonic()
        if self.drain_delay:
            # Whoever asks for the end from now on has asked twice.
            self.should_exit = True
            logger.info("Draining for %g seconds. (CTRL+C to end now)", self.drain_delay)
        while time.monotonic() < since + self.drain_delay and not self.force_exit:
            await asyncio.sleep(min(TICK, self.drain_delay))
            await self.on_tick(0)
        self.drain_delay = 0.0

    def _begin_drain(self) -> None:
        """Say that the end is near: applications hear the event, clients `connection: close`."""
        self.should_drain = False
        self._announce()
        self._drains.set()
        self._drained_at = time.monotonic() + self.config.drain_delay

    def _thin_out(self) -> None:
        """Close a share of the WebSockets, so that their clients do not all come back at once."""
        native = self.server_state.native
        if native is not None and native.sockets:
            turns = max(1.0, (self._drained_at - time.monotonic()) / TICK)
            native.close_sockets(math.ceil(native.sockets / turns))

    def _announce(self) -> None:
        if self.server_state.native is not None:
            self.server_state.native.announce_stop()

    async def _all_gone(self) -> bool:
        """Wait until nobody is served any more; return False if the time for it is up before."""
        self._stopped_at = time.monotonic()
        await asyncio.sleep(_SETTLE)
        for what, text in (
            ("connections", "Waiting for connections to close. (CTRL+C to force quit)"),
            ("tasks", "Waiting for background tasks to complete. (CTRL+C to force quit)"),
        ):
            if await self._gone(what, deadline=0):
                continue
            logger.info(text)
            if not await self._gone(what):
                return False
        return True

    async def _gone(self, what: str, deadline: float | None = None) -> bool:
        """Wait until none is left or the end is forced; return False after the deadline.

        It is that of the graceful end, unless another is given.
        """
        while len(getattr(self.server_state, what)) > 0 and not self.force_exit:
            if time.monotonic() >= (self._patience() if deadline is None else deadline):
                return False
            await asyncio.sleep(TICK)
        return True

    def _patience(self) -> float:
        """Return when the graceful end is over; who is in a hurry may shorten it meanwhile."""
        grace = self.config.timeout_graceful_shutdown
        return math.inf if grace is None else self._stopped_at + grace

    def in_flight(self) -> str:
        """Return a table of what is still under way; empty if nothing is."""
        rows = self.server_state.native.inflight() if self.server_state.native else []
        return table(rows) if rows else ""

    def _log_in_flight(self) -> None:
        if rows := self.in_flight():
            logger.error("Still in flight:\n%s", rows)

    async def _unless_forced(self, step: Coroutine[Any, Any, None], hint: str = "") -> None:
        """Await a step of the lifespan, or give it up when the user insists on the end.

        The hint is for who asked for the end once, and sees nothing happen.
        """
        task = asyncio.ensure_future(step)
        try:
            while not (task.done() or self.force_exit):
                if self.should_exit and hint:
                    logger.info(hint)
                    hint = ""
                await asyncio.wait({task}, timeout=TICK)
        finally:
            task.cancel()
        if task.done():
            task.result()

    def _release(self) -> None:
        """Give back every descriptor. Harmless when that was done before."""
        driver, self._driver = self._driver, None
        if driver is not None:
            if self.server_state.native is not None:
                dismiss(self.server_state.native)
            driver.close()
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.close()

    def _close_log(self) -> None:
        """Have the last access lines written. Harmless when that was done before."""
        if self.server_state.native is not None:
            self.server_state.native.close_log()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that ask for the end, and raise them again afterwards, last one first.

        So whoever started the server sees that it ended by a signal. Only the main thread may do
        this; in another thread the signals are not the server's business.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        original = {sig: signal.signal(sig, self.handle_exit) for sig in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for sig, handler in original.items():
                signal.signal(sig, handler)
        while self._captured_signals:
            signal.raise_signal(self._captured_signals.pop())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ask for the end. A second SIGINT, or any second signal before the start, forces it.

        During the drain delay a second signal ends the delay, and forces nothing unless it is the
        second SIGINT.
        """
        if self.should_exit:
            drains = self.started and self.drain_delay > 0
            insists = sig == signal.SIGINT or not self.started
            if insists and (not drains or sig in self._captured_signals):
                self.force_exit = True
        if self.should_exit or not self.started:
            # Before the start, no load balancer has been told to send requests here.
            self.drain_delay = 0.0
        self._captured_signals.append(sig)
        self.should_exit = True
        # At once: applications that look at `should_exit` may end their event streams before the
        # next tick.
        self._announce()

    @staticmethod
    def _log_process(text: str, pid: int) -> None:
        logger.info(text, pid, extra={"color_message": text.replace("%d", paint("%d", "cyan"))})
