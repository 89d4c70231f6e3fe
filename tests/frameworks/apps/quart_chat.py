"""Quart's WebSockets: the global `websocket`, tasks that receive and send, a broker for all."""

from __future__ import annotations

import asyncio

from quart import Quart, Response, abort, jsonify, request, websocket
from tests.apps.board import note, noted

app = Quart(__name__)

listeners: set[asyncio.Queue[str]] = set()


@app.get("/notes/<name>")
async def notes(name: str) -> Response:
    return jsonify(await noted(name, int(request.query_string or 1)))


@app.websocket("/echo")
async def echo() -> None:
    try:
        while True:
            data = await websocket.receive()
            await websocket.send(data if isinstance(data, bytes) else f"echo {data}")
    except asyncio.CancelledError:
        note("left", "cancelled")
        raise


@app.websocket("/broker")
async def broker() -> None:
    """One task passes on what this client says, the other one what all say."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    listeners.add(queue)

    async def sending() -> None:
        while True:
            await websocket.send(await queue.get())

    async def receiving() -> None:
        while True:
            message = await websocket.receive()
            for each in listeners:
                await each.put(message)

    try:
        await websocket.accept(headers={"x-listeners": str(len(listeners))})
        producer = asyncio.create_task(sending())
        consumer = asyncio.create_task(receiving())
        await asyncio.gather(producer, consumer)
    finally:
        listeners.remove(queue)
        note("parted", len(listeners))


@app.websocket("/private")
async def private() -> None:
    if websocket.authorization is None:
        abort(401)
    await websocket.send(websocket.authorization.username)
    await websocket.close(4000, "bye")
