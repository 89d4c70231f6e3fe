"""What applications see of a graceful end: the event of the extension `ferricorn.drain`.

It is set where the end begins, before anything is closed: a readiness endpoint that looks at it
fails while requests are still served, so that a load balancer sends its clients elsewhere. One
object is shared by all requests of a server, and an application can only look at it and wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class DrainEvent:
    """Whether the server has begun to end."""

    __slots__ = ("_begun",)

    def __init__(self, begun: asyncio.Event) -> None:
        self._begun = begun

    def is_set(self) -> bool:
        """Return whether the end has begun. May be called in any thread."""
        return self._begun.is_set()

    async def wait(self) -> None:
        """Wait until the end begins, on the server's event loop."""
        await self._begun.wait()
