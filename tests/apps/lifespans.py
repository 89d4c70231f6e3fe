"""Applications whose lifespans go in all manners. Each serves requests as well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.apps.board import Receive, Routes, Scope, Send, note, noted, read_body, respond

routes = Routes()

Lifespan = Callable[[Scope, Receive, Send], Awaitable[None]]


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    """Show the state."""
    await respond(send, repr(scope["state"]))


@routes
async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Take longer than the wish to end; see `ordered`."""
    note("slow began")
    await read_body(receive)
    print("request over\n", end="", flush=True)
    await respond(send)


@routes
async def crash(scope: Scope, receive: Receive, send: Send) -> None:
    """Let the lifespan crash; see `crashing_while_serving`."""
    note("crash")
    await respond(send)


def _with(lifespan: Lifespan) -> Lifespan:
    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "lifespan":
            print(f"lifespan {scope['asgi']} {sorted(scope)}\n", end="", flush=True)
            return await lifespan(scope, receive, send)
        return await routes.app(scope, receive, send)

    return app


async def _startup(receive: Receive, send: Send) -> None:
    assert await receive() == {"type": "lifespan.startup"}
    await send({"type": "lifespan.startup.complete"})


async def _shutdown(receive: Receive, send: Send) -> None:
    assert await receive() == {"type": "lifespan.shutdown"}
    print("ending\n", end="", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


@_with
async def ordered(scope: Scope, receive: Receive, send: Send) -> None:
    """Start and end, with a state."""
    scope["state"]["database"] = "open"
    await _startup(receive, send)
    await _shutdown(receive, send)


@_with
async def unsupported(scope: Scope, receive: Receive, send: Send) -> None:
    """Know no lifespan."""
    raise ValueError("no lifespan here")


@_with
async def returning(scope: Scope, receive: Receive, send: Send) -> None:
    """Return at once."""


@_with
async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    """Fail to start, and say why."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the database is closed"})


@_with
async def raising_at_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise within the start."""
    await receive()
    raise ValueError("raised at start")


@_with
async def failing_at_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Fail to end, and say why."""
    await _startup(receive, send)
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "the database is stuck"})


@_with
async def raising_at_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise within the end."""
    await _startup(receive, send)
    await receive()
    raise ValueError("raised at end")


@_with
async def crashing_while_serving(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise while requests are served."""
    await _startup(receive, send)
    await noted("crash")
    raise ValueError("raised while serving")


@_with
async def in_tasks(scope: Scope, receive: Receive, send: Send) -> None:
    """Run the start in a task of its own, under a timeout."""
    await asyncio.wait_for(_startup(receive, send), 10)
    await asyncio.create_task(_shutdown(receive, send))
