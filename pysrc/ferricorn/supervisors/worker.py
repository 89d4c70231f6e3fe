"""The life of a worker process, from its first line to its last.

Runs in the child only. What its parent sent along is the configuration, the sockets and one end of
a socket pair, on which the worker's words go up; a word that finds nobody means that the parent is
gone, and then the worker ends too rather than holding the port for ever.

SIGQUIT has the worker write what it is doing. Python's own dump comes first, since it needs no
cooperation of the interpreter; the requests follow as soon as the main thread runs a line. SIGUSR1
says that the parent drains before it ends: the worker tells its application, and serves on.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ferricorn.supervisors.watched import WatchedServer, Word

if TYPE_CHECKING:
    import mmap
    import socket
    from collections.abc import Callable

    from ferricorn.config import Config
    from ferricorn.server import Server

HEARTBEAT = 1.0
"""The longest time between two signs of life, in seconds."""

# What is meant for the parent, though a terminal or `kill -HUP -GROUP` sends it to all.
_OF_THE_PARENT = ("SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2")

# What a forked child would handle as its parent did. For SIGINT and SIGTERM: until the server takes
# them over there is nothing to end gracefully, and a KeyboardInterrupt's traceback says nothing.
_AS_ALWAYS = ("SIGINT", "SIGTERM", "SIGCHLD", "SIGWINCH", "SIGBREAK")

logger = logging.getLogger("uvicorn.error")


def work(
    config: Config,
    sockets: list[socket.socket],
    channel: socket.socket,
    place: tuple[mmap.mmap, int] | None,
    target: Callable[..., None] | None,
) -> None:
    """Serve until told to end.

    `place` is this worker's on the board. `target` replaces the server: it is called with the
    sockets.
    """
    with suppress(AttributeError, OSError):
        # `multiprocessing` took it away; a debugger in the application reads from it.
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    config.configure_logging()
    channel.setblocking(False)
    tell = _Channel(channel)
    patience = config.timeout_worker_healthcheck
    heartbeat = min(HEARTBEAT, patience / 4) if patience else HEARTBEAT
    server = WatchedServer(config, tell.say, heartbeat, replaceable=True)
    server.board = place
    tell.server = server
    _settle_signals(server)
    if target is None:
        from ferricorn.application import STARTUP_FAILURE
        from ferricorn.drivers.threads import end_past_threads

        server.run(sockets=sockets)
        status = 0 if server.started else STARTUP_FAILURE
        end_past_threads(status)
        if status:
            sys.exit(status)
    else:
        tell.say(Word.READY)
        target(sockets=sockets)


class _Channel:
    """The worker's end of the pair."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.server: Server | None = None
        self._alone = False

    def say(self, word: Word) -> None:
        try:
            self._channel.send(word.value)
        except BlockingIOError:
            pass  # The parent was stopped. It will read what came before.
        except OSError:
            if self.server is None or self._alone:
                return
            self._alone = True
            # A delay is for who decides on the end, and nobody is left who could end it.
            self.server.drain_delay = 0.0
            if not self.server.should_exit:
                logger.error("The parent process is gone. Ending process [%d].", os.getpid())
                self.server.should_exit = True


def _settle_signals(server: Server) -> None:
    """Take the place of the parent's handlers, and let in what came meanwhile."""
    for name in _AS_ALWAYS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    if not hasattr(signal, "pthread_sigmask"):
        return
    for name in _OF_THE_PARENT:
        # A handler rather than SIG_IGN, which the application's own children would inherit.
        signal.signal(getattr(signal, name), lambda *_: None)

    def show_requests(*_: object) -> None:
        state = server.server_state
        logger.error(
            "Process [%d] has %d request(s) in flight on %d connection(s).",
            os.getpid(),
            len(state.tasks),
            len(state.connections),
        )
        if rows := server.in_flight():
            logger.error("In flight in process [%d]:\n%s", os.getpid(), rows)

    def drain(*_: object) -> None:
        server.should_drain = True

    signal.signal(signal.SIGQUIT, show_requests)
    if server.config.drain_delay:
        signal.signal(signal.SIGUSR1, drain)
    # Somebody replaced stderr, closed it or started the server without.
    with suppress(AttributeError, OSError, RuntimeError, ValueError):
        faulthandler.register(signal.SIGQUIT, all_threads=True, chain=True)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
