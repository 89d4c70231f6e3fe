"""The trace of messages: their order, and what is left out of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from ferricorn.logging import TRACE_LOG_LEVEL
from ferricorn.middleware.message_logger import MessageLoggerMiddleware


@pytest.fixture
def trace(listen: Any) -> Any:
    logging.addLevelName(TRACE_LOG_LEVEL, "TRACE")
    return listen("uvicorn.asgi", TRACE_LOG_LEVEL)


async def receive() -> Any:
    return {"type": "http.request", "body": b"secret"}


async def send(message: Any) -> None: ...


def test_an_exchange(trace: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "headers": [(b"set-cookie", b"secret")]})

    scope = {"type": "http", "client": ("1.2.3.4", 5), "headers": [(b"cookie", b"secret")]}
    asyncio.run(MessageLoggerMiddleware(app)(scope, receive, send))
    shown = "{'type': 'http', 'client': ('1.2.3.4', 5), 'headers': '<...>'}"
    assert trace.lines == [
        f"TRACE: 1.2.3.4:5 - ASGI [1] Started scope={shown}",
        "TRACE: 1.2.3.4:5 - ASGI [1] Receive {'type': 'http.request', 'body': '<6 bytes>'}",
        "TRACE: 1.2.3.4:5 - ASGI [1] Send {'type': 'http.response.start', 'headers': '<...>'}",
        "TRACE: 1.2.3.4:5 - ASGI [1] Completed",
    ]


def test_an_exception(trace: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError

    middleware = MessageLoggerMiddleware(app)
    for _ in range(2):
        with pytest.raises(LookupError):
            asyncio.run(middleware({"type": "lifespan"}, receive, send))
    assert trace.lines[-2:] == [
        "TRACE: ASGI [2] Started scope={'type': 'lifespan'}",
        "TRACE: ASGI [2] Raised exception",
    ]
