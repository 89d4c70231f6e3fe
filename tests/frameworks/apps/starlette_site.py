"""A Starlette application: mounts, static files, middleware, leaving clients, anyio and timeouts.

The static files are this directory's own sources, so that a test can compare them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from tests.apps.board import Routes, note, passed

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

HERE = Path(__file__).parent


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-stamp"] = "stamped"
        return response


class Measure(BaseHTTPMiddleware):
    """Reads the whole body before the endpoint does."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        size = len(await request.body())
        response = await call_next(request)
        response.headers["x-size"] = str(size)
        return response


async def where(request: Request) -> Response:
    return JSONResponse(
        {
            "url": str(request.url),
            "path": request.url.path,
            "parameters": request.path_params,
            "query": dict(request.query_params),
            "client": request.client.host if request.client else None,
        }
    )


async def echo(request: Request) -> Response:
    return Response(await request.body())


async def digest(request: Request) -> Response:
    """Take the body as it comes."""
    digest = hashlib.sha256()
    async for piece in request.stream():
        digest.update(piece)
    return PlainTextResponse(digest.hexdigest())


async def patient(request: Request) -> Response:
    """Work until the client has left."""
    note("patient", "works")
    rounds = 0
    while not await request.is_disconnected():
        rounds += 1
        await asyncio.sleep(0.005)
    note("patient", "stopped")
    return PlainTextResponse("nobody reads this")


async def present(request: Request) -> Response:
    """Take the body, and ask whether the client is there."""
    body = await request.body()
    gone = [await request.is_disconnected() for _ in range(3)]
    return JSONResponse({"gone": gone, "size": len(body)})


async def abandoned_upload(request: Request) -> Response:
    note("upload", "begins")
    try:
        async for _ in request.stream():
            pass
    except ClientDisconnect:
        note("upload", "abandoned")
        raise
    return PlainTextResponse("complete")


async def endless(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"piece"
                await asyncio.sleep(0.005)
        finally:
            note("endless", "closed")

    return StreamingResponse(pieces())


async def group(request: Request) -> Response:
    """Gather what several tasks find, one of them in a thread."""
    found: dict[str, Any] = {}

    async def find(name: str, delay: float) -> None:
        await anyio.sleep(delay)
        found[name] = bool(anyio.get_current_task().name)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(find, f"find {number}", number / 1000)
        found["thread"] = await anyio.to_thread.run_sync(lambda: 6 * 7)
    return JSONResponse(found)


async def cancelled_scope(request: Request) -> Response:
    """Give up on the client's body, which does not come, and answer nevertheless."""
    with anyio.move_on_after(0.05) as scope:
        await request.body()
    return PlainTextResponse("given up" if scope.cancelled_caught else "complete")


async def waiting(request: Request) -> Response:
    """Give up waiting for a client's leaving, by asyncio's own means."""
    results = []
    try:
        async with timeout(0.02):
            await asyncio.Event().wait()
    except TimeoutError:
        results.append("event")
    await request.body()
    try:
        async with timeout(0.02):
            await request.receive()
    except TimeoutError:
        results.append("receive")
    try:
        await asyncio.wait_for(request.receive(), 0.02)
    except asyncio.TimeoutError:  # another class before 3.11
        results.append("wait_for")
    return JSONResponse(results)


async def racing(request: Request) -> Response:
    """Await the client's leaving beside the work, as long polls do, and cancel what is left."""
    await request.body()
    leaving = asyncio.create_task(request.receive())
    working = asyncio.create_task(asyncio.sleep(0.02, "worked"))
    done, pending = await asyncio.wait({leaving, working}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return PlainTextResponse(str(done.pop().result()))


async def background(request: Request) -> Response:
    async def later() -> None:
        await passed("background")
        note("background", "ran")

    return PlainTextResponse("soon", background=BackgroundTask(later))


async def broken(request: Request) -> Response:
    raise LookupError("nothing is here")


routes = [
    Route("/echo", echo, methods=["POST", "PUT"]),
    Route("/digest", digest, methods=["POST"]),
    Route("/patient", patient),
    Route("/present", present, methods=["POST"]),
    Route("/abandoned", abandoned_upload, methods=["POST"]),
    Route("/endless", endless),
    Route("/group", group),
    Route("/scope", cancelled_scope, methods=["POST"]),
    Route("/waiting", waiting),
    Route("/racing", racing),
    Route("/background", background),
    Route("/broken", broken),
    Route("/where/{place:path}", where),
]

app = Starlette(
    routes=[
        Mount("/notes", Routes().app),
        Mount("/pass", Routes().app),
        Mount("/static", StaticFiles(directory=HERE, html=True)),
        Mount("/stamped", routes=routes, middleware=[Middleware(Stamp)]),
        Mount("/twice", routes=routes, middleware=[Middleware(Stamp), Middleware(Stamp)]),
        Mount("/measured", routes=routes, middleware=[Middleware(Measure)]),
        *routes,
    ]
)
