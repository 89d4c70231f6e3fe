"""Bare ASGI applications that speak WebSocket; over HTTP each says that it is there."""

from __future__ import annotations

from typing import Any

_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
_START = {"type": "http.response.start", "status": 200, "headers": _HEADERS}
_BODY = {"type": "http.response.body", "body": b"ok"}

_ACCEPT = {"type": "websocket.accept"}

_clients: list[Any] = []


async def _opened(scope: Any, receive: Any, send: Any) -> bool:
    if scope["type"] == "websocket":
        await receive()
        await send(_ACCEPT)
        return True
    assert scope["type"] == "http"
    await send(_START)
    await send(_BODY)
    return False


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send each text back."""
    if not await _opened(scope, receive, send):
        return
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def broadcast(scope: Any, receive: Any, send: Any) -> None:
    """Send each text to everybody."""
    if not await _opened(scope, receive, send):
        return
    _clients.append(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            answer = {"type": "websocket.send", "text": message["text"]}
            for client in _clients:
                await client(answer)
    finally:
        _clients.remove(send)
