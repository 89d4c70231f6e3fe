"""Bare ASGI applications: what they cost is next to nothing, so a row shows the server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

_HELLO = b"Hello, World!"
_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
_START = {"type": "http.response.start", "status": 200, "headers": _HEADERS}
_BODY = {"type": "http.response.body", "body": _HELLO}

# 16 pieces of 64 KiB are 1 MiB: what a file or a proxied response is usually read in.
_PIECE = {"type": "http.response.body", "body": b"x" * 65536, "more_body": True}
_LAST = {"type": "http.response.body", "body": b"", "more_body": False}
_STREAM_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/octet-stream")],
}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer with constant bytes."""
    assert scope["type"] == "http"
    await send(_START)
    await send(_BODY)


async def post(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole body and answer with its length."""
    assert scope["type"] == "http"
    length = 0
    more = True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"%13d" % length
    await send(_START)
    await send({"type": "http.response.body", "body": body})


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Answer with a mebibyte whose length is not announced."""
    assert scope["type"] == "http"
    await send(_STREAM_START)
    for _ in range(16):
        await send(_PIECE)
    await send(_LAST)


async def sleep(scope: Any, receive: Any, send: Any) -> None:
    """Wait as for a database, then answer."""
    assert scope["type"] == "http"
    await asyncio.sleep(0.01)
    await send(_START)
    await send(_BODY)


class Heartbeat:
    """Answers constant bytes, while a task measures by how much its 1 ms sleeps are late.

    A request to /start forgets what was measured, and what the next half second brings, in which
    the connections are made; /lag answers with the 99th percentile in microseconds.
    """

    def __init__(self) -> None:
        self._late: list[float] = []
        self._settled = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/start":
            self._late.clear()
            self._settled = time.perf_counter() + 0.5
            if self._task is None:
                self._task = asyncio.create_task(self._beat())
        elif scope["path"] == "/lag":
            late = sorted(self._late) or [0.0]
            body = b"%13d" % int(late[len(late) * 99 // 100] * 1e6)
            await send(_START)
            await send({"type": "http.response.body", "body": body})
            return
        await send(_START)
        await send(_BODY)

    async def _beat(self) -> None:
        # Not the loop's own clock: uvloop's counts whole milliseconds.
        clock = time.perf_counter
        while True:
            before = clock()
            await asyncio.sleep(0.001)
            if before > self._settled:
                self._late.append(clock() - before - 0.001)


heartbeat = Heartbeat()
