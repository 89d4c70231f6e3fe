"""A server that somebody watches: its parent process, or the service manager.

It says four words: that it serves, that its event loop turns, that it has served as many requests
as it was to, and that it ends. The words come from the server's own sequence and from its tick, so
that they are true: a thread would go on saying that all is well while the loop stands still.
"""

from __future__ import annotations

import enum
import logging
import signal
import time
from typing import TYPE_CHECKING

from ferricorn.server import Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from ferricorn.config import Config

logger = logging.getLogger("uvicorn.error")


# A connection that was closed between two requests would cost its client the second, which may be
# on its way. So a worker first says that it closes, and gives those who talk time to hear it.
_LAST_CALL = 0.5


class Word(bytes, enum.Enum):
    """What a watched server says, as it goes over a pipe."""

    READY = b"r"
    ALIVE = b"a"
    LIMIT = b"l"
    ENDING = b"e"


class WatchedServer(Server):
    """Serves as `Server` does and says so through `tell`; ALIVE every `interval` seconds.

    A `replaceable` server that has reached its limit of requests serves on until it is told to end,
    since whoever watches it starts its successor first.
    """

    def __init__(
        self,
        config: Config,
        tell: Callable[[Word], None],
        interval: float,
        *,
        replaceable: bool,
    ) -> None:
        super().__init__(config)
        self._tell = tell
        self._interval = interval
        self._next = 0.0
        self._replaceable = replaceable
        if replaceable:
            self.last_call = _LAST_CALL

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ask for the end. SIGTERM is the word of whoever replaces this server, and has waited."""
        if self._replaceable and sig == signal.SIGTERM:
            self.drain_delay = 0.0
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say that it is done."""
        await super().startup(sockets=sockets)
        if self.started:
            self._tell(Word.READY)

    async def on_tick(self, counter: int) -> bool:
        """Say that the loop turns."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._interval
            self._tell(Word.ALIVE)
        limit = self.limit_max_requests
        if self._replaceable and limit is not None and self.server_state.total_requests >= limit:
            logger.info("Maximum request limit of %d exceeded. Waiting for a replacement.", limit)
            self.limit_max_requests = None
            self._tell(Word.LIMIT)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it ends, and end."""
        self._tell(Word.ENDING)
        await super().shutdown(sockets=sockets)
