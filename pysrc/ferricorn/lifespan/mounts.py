"""The lifespans of several applications: each is started in turn, and ended in the reverse order.

Requests start from the context that the last start left. An application that fails to start ends
those before it.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

from ferricorn.lifespan.on import LifespanOn

if TYPE_CHECKING:
    from ferricorn.config import Config
    from ferricorn.sites import Site


class LifespanOfMounts:
    """Runs a lifespan for each of a server's ASGI applications; WSGI has none."""

    def __init__(self, config: Config) -> None:
        self.should_exit = False
        self.context = contextvars.copy_context()
        # The server's own application comes last, and is started first.
        self._waiting = [_Lifespan(config, site) for site in config.sites if site.environ is None]
        self.state: dict[str, Any] = config.sites[-1].state
        self._started: list[_Lifespan] = []

    async def startup(self) -> None:
        """Start one after the other, until one fails."""
        while self._waiting and not self.should_exit:
            lifespan = self._waiting.pop()
            await lifespan.startup()
            if lifespan.should_exit:
                self.should_exit = True
                await self.shutdown()
                return
            self._started.append(lifespan)
            self.context = lifespan.context

    async def shutdown(self) -> None:
        """End all that have started."""
        while self._started:
            lifespan = self._started.pop()
            await lifespan.shutdown()
            self.should_exit = self.should_exit or lifespan.should_exit


class _Lifespan(LifespanOn):
    def __init__(self, config: Config, site: Site) -> None:
        super().__init__(config)
        self.application, self.asgi_version = site.forwarded, site.asgi_version
        site.state = self.state
