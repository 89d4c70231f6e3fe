"""No lifespan: the application is not told that the server starts or ends."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferricorn.config import Config


class LifespanOff:
    """Stands where a lifespan would; starts and ends nothing."""

    def __init__(self, config: Config) -> None:
        self.should_exit = False
        self.state: dict[str, Any] = {}
        self.context = contextvars.copy_context()

    async def startup(self) -> None:
        """Do nothing."""

    async def shutdown(self) -> None:
        """Do nothing."""
