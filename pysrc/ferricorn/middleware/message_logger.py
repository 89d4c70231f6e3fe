"""Writes every message between server and application on the logger `uvicorn.asgi`.

Only in place at log level `trace`. Bodies appear as their sizes and headers not at all: a trace may
be shown to others, and headers carry credentials.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

from ferricorn.logging import TRACE_LOG_LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ferricorn.typing import ASGI3Application, Message, Receive, Scope, Send


class MessageLoggerMiddleware:
    """Numbers the application's runs and logs the messages of each."""

    def __init__(self, app: ASGI3Application) -> None:
        self.app = app
        self.logger = logging.getLogger("uvicorn.asgi")
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application between two loggers."""
        client = scope.get("client")
        prefix = f"{client[0]}:{client[1]} - ASGI" if client else "ASGI"
        prefix = f"{prefix} [{next(self._numbers)}]"

        def log(event: str) -> None:
            self.logger.log(TRACE_LOG_LEVEL, "%s %s", prefix, event)

        async def logged_receive() -> Message:
            message = await receive()
            log(f"Receive {_abridged(message)}")
            return message

        async def logged_send(message: Message) -> None:
            log(f"Send {_abridged(message)}")
            await send(message)

        log(f"Started scope={_abridged(scope)}")
        try:
            await self.app(scope, logged_receive, logged_send)
        except BaseException:
            log("Raised exception")
            raise
        log("Completed")


def _abridged(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message with bodies as sizes and without headers."""
    return {key: _abridge(key, value) for key, value in message.items()}


def _abridge(key: str, value: Any) -> Any:
    if key in ("body", "bytes", "text") and value is not None:
        return f"<{len(value)} {'chars' if isinstance(value, str) else 'bytes'}>"
    return "<...>" if key == "headers" else value
