"""An ASGI application that `a2wsgi` makes a WSGI application of: its loop is in another thread."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from a2wsgi import ASGIMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


async def tell(request: Request) -> Response:
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["path"],
            "root": request.scope["root_path"],
            "query": request.scope["query_string"].decode("ascii"),
            "client": request.client.host if request.client else None,
            "who": request.headers.getlist("x-who"),
        }
    )


async def digest(request: Request) -> Response:
    digest = hashlib.sha256()
    async for piece in request.stream():
        digest.update(piece)
    return Response(digest.hexdigest())


async def live(request: Request) -> Response:
    """Send one piece, and the other when the file that the query names is there."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        while not Path(request.url.query).exists():
            await asyncio.sleep(0.005)
        yield b"second"

    return StreamingResponse(pieces())


async def broken(request: Request) -> Response:
    raise LookupError("no such shelf")


async def failing(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise LookupError("no second part")

    return StreamingResponse(pieces())


asgi = Starlette(
    routes=[
        Route("/tell/{rest:path}", tell, methods=["GET", "DELETE"]),
        Route("/digest", digest, methods=["POST"]),
        Route("/live", live),
        Route("/broken", broken),
        Route("/failing", failing),
    ]
)
app = ASGIMiddleware(asgi)
