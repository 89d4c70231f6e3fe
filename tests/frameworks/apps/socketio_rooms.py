"""Socket.IO, which begins with polling and goes over to a WebSocket of the same session."""

from __future__ import annotations

from typing import Any

import socketio

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
app = socketio.ASGIApp(sio)


@sio.event
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    if auth == "nobody":
        raise socketio.exceptions.ConnectionRefusedError("not you")


@sio.event
async def add(sid: str, *numbers: int) -> int:
    return sum(numbers)


@sio.event
async def join(sid: str, room: str) -> str:
    await sio.enter_room(sid, room)
    return sio.transport(sid)


@sio.event
async def say(sid: str, room: str, message: Any) -> None:
    await sio.emit("said", message, room=room)


@sio.event
async def leave(sid: str) -> None:
    await sio.disconnect(sid)
