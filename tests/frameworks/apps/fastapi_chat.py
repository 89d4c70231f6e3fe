"""FastAPI's WebSockets as its documentation shows them: dependencies, errors, rooms, leaving."""

from __future__ import annotations

from typing import Annotated

from fastapi import (
    Cookie,
    Depends,
    FastAPI,
    Query,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
    status,
)
from tests.apps.board import note, noted

app = FastAPI()


class Rooms:
    def __init__(self) -> None:
        self.active: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.active.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        self.active.remove(websocket)

    async def broadcast(self, message: str) -> None:
        for connection in self.active:
            await connection.send_text(message)


rooms = Rooms()


@app.get("/notes/{name}")
async def notes(name: str, count: int = 1) -> list[object]:
    return await noted(name, count)


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            data = await websocket.receive_text()
            await websocket.send_text(f"Message text was: {data}")
    except WebSocketDisconnect as left:
        note("left", [left.code, left.reason])


async def cookie_or_token(
    websocket: WebSocket,
    session: Annotated[str | None, Cookie()] = None,
    token: Annotated[str | None, Query()] = None,
) -> str:
    if session is None and token is None:
        raise WebSocketException(code=status.WS_1008_POLICY_VIOLATION)
    return session or token or ""


@app.websocket("/items/{item}/ws")
async def items(
    websocket: WebSocket,
    item: str,
    who: Annotated[str, Depends(cookie_or_token)],
    q: int | None = None,
) -> None:
    await websocket.accept()
    await websocket.send_json({"item": item, "who": who, "q": q})
    async for data in websocket.iter_json():
        if data == "leave":
            raise WebSocketException(code=status.WS_1003_UNSUPPORTED_DATA, reason="enough")
        await websocket.send_json([data], mode="binary")


@app.websocket("/rooms/{client}")
async def room(websocket: WebSocket, client: int) -> None:
    await rooms.connect(websocket)
    try:
        await rooms.broadcast(f"Client #{client} joined")
        while True:
            await rooms.broadcast(f"Client #{client} says: {await websocket.receive_text()}")
    except WebSocketDisconnect:
        rooms.disconnect(websocket)
        await rooms.broadcast(f"Client #{client} left the chat")


@app.websocket("/broken")
async def broken(websocket: WebSocket) -> None:
    await websocket.accept()
    raise LookupError("this line is dead")
