"""Litestar's WebSockets: listeners with values, a stream, and a plain handler with a guard."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from litestar import Litestar, WebSocket, websocket, websocket_listener, websocket_stream
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, WebSocketDisconnect
from litestar.handlers import BaseRouteHandler


@websocket_listener("/doubles")
async def doubles(data: dict[str, int]) -> dict[str, int]:
    return {name: 2 * value for name, value in data.items()}


@websocket_stream("/counts", listen_for_disconnect=True)
async def counts() -> AsyncGenerator[str, None]:
    for number in range(5):
        yield f"count {number}"


def guard(connection: ASGIConnection, _: BaseRouteHandler) -> None:  # type: ignore[type-arg]
    if connection.query_params.get("key") != "open":
        raise NotAuthorizedException("no key")


@websocket("/guarded", guards=[guard])
async def guarded(socket: WebSocket) -> None:  # type: ignore[type-arg]
    await socket.accept(subprotocols="chat")
    try:
        while True:
            await socket.send_bytes(await socket.receive_bytes())
    except WebSocketDisconnect:
        pass


app = Litestar(route_handlers=[doubles, counts, guarded])
