"""Starlette's WebSockets: a class for an endpoint, iterators, and answers in plain HTTP."""

from __future__ import annotations

from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import JSONResponse
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket
from tests.apps.board import Routes, note


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="chat", headers=[(b"x-room", b"echo")])

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text(f"{websocket.path_params['name']}: {data}")

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        note("left", close_code)


async def texts(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())
    note("texts", "over")


async def values(websocket: WebSocket) -> None:
    await websocket.accept()
    async for value in websocket.iter_json():
        await websocket.send_json({"got": value})
    note("values", "over")


async def blobs(websocket: WebSocket) -> None:
    await websocket.accept()
    async for blob in websocket.iter_bytes():
        await websocket.send_bytes(blob[::-1])


async def denied(websocket: WebSocket) -> None:
    response = JSONResponse({"why": "members only"}, 401, {"www-authenticate": "Basic"})
    await websocket.send_denial_response(response)


async def refused(websocket: WebSocket) -> None:
    await websocket.close()


async def both_ways(websocket: WebSocket) -> None:
    """Talk and listen at once, until the client leaves."""
    await websocket.accept()

    async with anyio.create_task_group() as tasks:

        async def talk() -> None:
            number = 0
            while True:
                await websocket.send_text(f"tick {number}")
                number += 1
                await anyio.sleep(0.001)

        tasks.start_soon(talk)
        async for text in websocket.iter_text():
            await websocket.send_text(f"heard {text}")
        tasks.cancel_scope.cancel()
    note("both", "over")


app = Starlette(
    routes=[
        Mount("/notes", Routes().app),
        Mount(
            "/rooms",
            routes=[
                WebSocketRoute("/echo/{name}", Echo),
                WebSocketRoute("/texts", texts),
                WebSocketRoute("/values", values),
                WebSocketRoute("/blobs", blobs),
                WebSocketRoute("/denied", denied),
                WebSocketRoute("/refused", refused),
                WebSocketRoute("/both", both_ways),
            ],
        ),
    ]
)
