"""A server that somebody watches: its parent process, or the service manager.

It says four words: that it serves, that its event loop turns, that it is worn out (it has served
as many requests as it was to, or lost too many threads), and that it ends. The words come from the
server's own sequence and from its tick, so that they are true: a thread would go on saying that all
is well while the loop stands still.
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

    A `replaceable` server that is worn out serves on until it is told to end, since whoever
    watches it starts its successor first.
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
        # It has said that it should be replaced.
        self._asks = False
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
        if self._replaceable and not self._asks and (complaint := super().worn_out()):
            logger.info("%s Waiting for a replacement.", complaint)
            self._asks = True
            self._tell(Word.LIMIT)
        return await super().on_tick(counter)

    def worn_out(self) -> str | None:
        """Say why this process should serve no longer, if that is for itself to decide."""
        return None if self._replaceable else super().worn_out()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it ends, and end."""
        self._tell(Word.ENDING)
        await super().shutdown(sockets=sockets)
