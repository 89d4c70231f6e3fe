"""Requests that a WSGI application does not come back from, and when there are too many.

A thread cannot be stopped. So its client is answered, its stack goes to the log, and once half of
the threads are lost the process had better be replaced.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferricorn._native import Server as NativeServer
    from ferricorn.config import Config

logger = logging.getLogger("uvicorn.error")


class StuckThreads:
    """Looks for threads that have run one request for longer than they may."""

    def __init__(self, native: NativeServer, config: Config) -> None:
        self._native = native
        self._threads = config.threads
        self._stuck = 0

    def look(self) -> None:
        """Give up what takes too long, and say so."""
        late, self._stuck = self._native.give_up()
        for thread, seconds, environ in late:
            frame = sys._current_frames().get(thread)
            stack = "".join(traceback.format_stack(frame)) if frame else "(it has just ended)\n"
            what = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}" if environ else "A request"
            logger.error(
                "%s has run for %.1f seconds; its client was answered 504, or cut off if the "
                "response had begun. Its thread:\n%s",
                ascii(what)[1:-1],
                seconds,
                stack,
            )

    def complaint(self) -> str | None:
        """Say that too many are stuck, if so."""
        if self._stuck * 2 < self._threads or not self._stuck:
            return None
        return f"{self._stuck} of {self._threads} threads are stuck."
