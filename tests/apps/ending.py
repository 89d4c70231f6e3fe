"""An application whose requests are in every phase when the server is asked to end."""

from __future__ import annotations

import asyncio
import os

from tests.apps.board import Receive, Routes, Scope, Send, note, read_body, respond

routes = Routes()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve, and say when the lifespan ends."""
    await routes.app(scope, receive, send)
    if scope["type"] == "lifespan":
        print("lifespan over\n", end="", flush=True)


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body."""
    await respond(send, await read_body(receive))


@routes
async def reads(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a body, and say that this has begun."""
    note("busy")
    await respond(send, await read_body(receive))


@routes
async def works(scope: Scope, receive: Receive, send: Send) -> None:
    """Work for ever, and clean up if that is cut short."""
    note("busy")
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up\n", end="", flush=True)


@routes
async def streams(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream for ever, to a client that may read or not."""
    note("busy")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await asyncio.sleep(0)


@routes
async def works_on(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond, and work on until the file that the query names is there."""
    await respond(send)
    note("busy")
    while not os.path.exists(scope["query_string"]):
        await asyncio.sleep(0.01)
    print("worked on\n", end="", flush=True)


@routes
async def holds_the_loop(scope: Scope, receive: Receive, send: Send) -> None:
    """Let the loop do nothing until the file that the query names is there."""
    print("holding\n", end="", flush=True)
    while not os.path.exists(scope["query_string"]):
        pass
    await respond(send)
