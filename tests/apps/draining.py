"""An application that looks at the end of its server: readiness, event streams, any work.

A part of it is Starlette's, whose streams stop at `http.disconnect`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from sse_starlette import EventSourceResponse
from starlette.responses import StreamingResponse
from tests.apps.board import Receive, Routes, Scope, Send, note, respond

routes = Routes()
app = routes.app


async def _there(path: str) -> None:
    while not Path(path).exists():
        await asyncio.sleep(0.01)


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, "hello")


@routes
async def pid(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, str(os.getpid()))


@routes
async def ready(scope: Scope, receive: Receive, send: Send) -> None:
    drains = scope["extensions"]["ferricorn.drain"]["event"].is_set()
    await respond(send, status=503 if drains else 200)


@routes
async def drained(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer when the server begins to end."""
    note("waits")
    await scope["extensions"]["ferricorn.drain"]["event"].wait()
    await respond(send, "drained")


@routes
async def waits_for(scope: Scope, receive: Receive, send: Send) -> None:
    note("waits")
    await _there(scope["query_string"].decode())
    await respond(send, "waited")


@routes
async def events(scope: Scope, receive: Receive, send: Send) -> None:
    """Send events until the client is gone, and then end as the path says."""
    _, _, kind, end, *_ = scope["path"].split("/")
    if scope["query_string"]:
        note("waits")
        await _there(scope["query_string"].decode())
    headers = [(b"Content-Type", b"text/" + kind.encode())]
    if end == "too_short":
        headers.append((b"content-length", b"100"))
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": headers,
            "trailers": end == "trailers",
        }
    )
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    note("streams")
    while (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.body", "body": b"last", "more_body": True})
    note("told")
    if end == "completes":
        await send({"type": "http.response.body"})
    elif end == "cancelled":
        raise asyncio.CancelledError
    elif end == "raises":
        raise RuntimeError("meant to fail")


@routes
async def events_until_drained(scope: Scope, receive: Receive, send: Send) -> None:
    """Send events until the server begins to end, and say no last word."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await scope["extensions"]["ferricorn.drain"]["event"].wait()


@routes
async def unheard(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a plain stream, and note whether the client seems to leave before its end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await receive()
    listening = asyncio.ensure_future(receive())
    note("waits")
    await _there(scope["query_string"].decode())
    heard = b"left" if listening.done() else b"stayed"
    await send({"type": "http.response.body", "body": b"-" + heard})
    await listening


@routes
async def starlette(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream in two halves with Starlette."""

    async def halves() -> AsyncIterator[str]:
        yield "first"
        note("waits")
        await _there(scope["query_string"].decode())
        yield "-last"

    await StreamingResponse(halves())(scope, receive, send)


@routes
async def sse(scope: Scope, receive: Receive, send: Send) -> None:
    """Send events with sse-starlette until it ends."""

    async def forever() -> AsyncIterator[str]:
        yield "first"
        note("waits")
        while True:
            await asyncio.sleep(3600)

    await EventSourceResponse(forever())(scope, receive, send)


@routes
async def sse_of_starlette(scope: Scope, receive: Receive, send: Send) -> None:
    """Send events with Starlette alone."""

    async def forever() -> AsyncIterator[str]:
        yield "data: first\n\n"
        note("waits")
        while True:
            await asyncio.sleep(3600)

    response = StreamingResponse(forever(), media_type="text/event-stream")
    await response(scope, receive, send)


@routes
async def works(scope: Scope, receive: Receive, send: Send) -> None:
    note("waits")
    print("works", flush=True)
    await asyncio.sleep(3600)


@routes
async def works_on(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send)
    note("waits")
    await asyncio.sleep(3600)


@routes
async def reads(scope: Scope, receive: Receive, send: Send) -> None:
    note("waits")
    while (await receive())["type"] != "http.disconnect":
        pass


@routes
async def floods(scope: Scope, receive: Receive, send: Send) -> None:
    """Send more than any client takes that does not read."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    note("waits")
    for _ in range(100):
        await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
