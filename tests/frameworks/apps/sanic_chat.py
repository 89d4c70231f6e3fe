"""Sanic's WebSockets behind a server that is not its own."""

from __future__ import annotations

from sanic import Request, Sanic, Websocket

app = Sanic("chat")


@app.websocket("/feed")
async def feed(request: Request, ws: Websocket) -> None:
    while (message := await ws.recv()) is not None:
        await ws.send(f"{request.args.get('name')}: {message}")
