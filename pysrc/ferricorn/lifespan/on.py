"""The lifespan of an application: one task that hears of the start and of the end.

Owns the task and what it leaves for the requests: the state, and the context (the values of
context variables at the moment the start was complete). `auto` differs from `on` in one thing:
an application that raises before its start is complete is one that knows no lifespan, and is served
nevertheless. After that moment an exception is a fault of the application in both.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferricorn.config import Config
    from ferricorn.typing import Message

logger = logging.getLogger("uvicorn.error")


class LifespanOn:
    """Runs the application's lifespan: `startup()`, then `shutdown()`.

    `should_exit` says after either that it failed. `state` and `context` are for the requests.
    """

    def __init__(self, config: Config) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.application, self.asgi_version = config.loaded_app, config.asgi_version
        self.should_exit = False
        self.state: dict[str, Any] = {}
        self.context = contextvars.copy_context()
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._startup = _Phase("startup")
        self._shutdown = _Phase("shutdown")
        # Set when the application raised: nobody is there to be told of the end.
        self._crashed = False
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Start the application's lifespan and wait until its start is complete, or failed."""
        logger.info("Waiting for application startup.")
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._complete(self._startup)

    async def shutdown(self) -> None:
        """Tell the application of the end and wait until it is ready for it, or failed."""
        if self._crashed:
            return
        logger.info("Waiting for application shutdown.")
        await self._complete(self._shutdown)

    async def _complete(self, phase: _Phase) -> None:
        self._events.put_nowait({"type": f"lifespan.{phase.name}"})
        try:
            await phase.over.wait()
        except asyncio.CancelledError:
            if self._task is not None:
                self._task.cancel()
            raise
        if phase.failed:
            logger.error("Application %s failed. Exiting.", phase.name)
            self.should_exit = True
        else:
            logger.info("Application %s complete.", phase.name)

    async def _run(self) -> None:
        try:
            await self.application(
                {
                    "type": "lifespan",
                    "asgi": {"version": self.asgi_version, "spec_version": "2.0"},
                    "state": self.state,
                },
                self._events.get,
                self._send,
            )
        except Exception as error:
            self._crashed = True
            self._blame(error)
        finally:
            # An application that returns early is content with whatever comes.
            self._startup.over.set()
            self._shutdown.over.set()

    def _blame(self, error: Exception) -> None:
        if self._startup.failed or self._shutdown.failed:
            return  # It said so itself before it raised, and was heard.
        if self.config.lifespan == "auto" and not self._startup.over.is_set():
            logger.info("ASGI 'lifespan' protocol appears unsupported.")
            return
        logger.error("Exception in 'lifespan' protocol\n", exc_info=error)
        self._startup.failed = not self._startup.over.is_set()
        self._shutdown.failed = not self._startup.failed

    async def _send(self, message: Message) -> None:
        phase = self._shutdown if self._startup.over.is_set() else self._startup
        outcomes = {f"lifespan.{phase.name}.complete": False, f"lifespan.{phase.name}.failed": True}
        if phase.over.is_set() or message["type"] not in outcomes:
            raise RuntimeError(f"Unexpected ASGI message '{message['type']}' in the lifespan.")
        phase.failed = outcomes[message["type"]]
        if phase.failed and message.get("message"):
            logger.error(message["message"])
        if phase is self._startup:
            self.context = contextvars.copy_context()
        phase.over.set()


class _Phase:
    """The start or the end: over or not, failed or not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.over = asyncio.Event()
        self.failed = False
