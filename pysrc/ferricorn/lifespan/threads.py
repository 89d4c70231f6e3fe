"""The lifespan of a WSGI application, which has none: the log says what it says of others.

Whoever waits for a server waits for these lines.
"""

from __future__ import annotations

import logging

from ferricorn.lifespan.off import LifespanOff

logger = logging.getLogger("uvicorn.error")


class LifespanOfThreads(LifespanOff):
    """Starts and ends nothing, and says so."""

    async def startup(self) -> None:
        """Say that the start is complete."""
        logger.info("Waiting for application startup.")
        logger.info("Application startup complete.")

    async def shutdown(self) -> None:
        """Say that the end is complete."""
        logger.info("Waiting for application shutdown.")
        logger.info("Application shutdown complete.")
