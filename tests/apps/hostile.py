"""What the tests of hostile peers talk to: applications that wait, stream, count and misbehave."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tests.apps.board import (
    Receive,
    Routes,
    Scope,
    Send,
    note,
    passed,
    read_body,
    respond,
    respond_json,
)

routes = Routes()
app = routes.app

PIECE = bytes(64 * 1024)


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, "hello")


@routes
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, await read_body(receive))


@routes
async def early(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without a look at the body."""
    await respond(send, "early")


@routes
async def number(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 1 KiB that begins with the query, so that an order can be seen."""
    await respond(send, scope["query_string"].ljust(1024))


@routes
async def count(scope: Scope, receive: Receive, send: Send) -> None:
    """Say how many bytes of body came, in how many messages."""
    size = messages = 0
    more = True
    while more:
        message = await receive()
        size += len(message["body"])
        messages += 1
        more = message["more_body"]
    await respond_json(send, {"size": size, "messages": messages})


@routes
async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer when a test lets it."""
    note("waits")
    await passed("answer")
    await respond(send, "waited")


@routes
async def expects(scope: Scope, receive: Receive, send: Send) -> None:
    """Ask for the body when a test lets it."""
    note("expects")
    await passed("ask")
    await respond(send, await read_body(receive))


@routes
async def zeros(scope: Scope, receive: Receive, send: Send) -> None:
    """Send as many zeros as the query says."""
    left = int(scope["query_string"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while left:
        part = bytes(min(left, 10_000))
        left -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": left > 0})


@routes
async def until_gone(scope: Scope, receive: Receive, send: Send) -> None:
    """Read everything that comes, up to the client's leaving."""
    note("arrived")
    kinds = []
    while "http.disconnect" not in kinds:
        kinds.append((await receive())["type"])
    note("gone", kinds)


@routes
async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """Send for ever, until the client leaves."""
    gone = asyncio.ensure_future(_leaves(receive))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    sent = 0
    while not gone.done():
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        sent += len(PIECE)
        await asyncio.sleep(0)
    note("stream-ended", sent)


@routes
async def pours(scope: Scope, receive: Receive, send: Send) -> None:
    """Send as many pieces of as many bytes as the query says, and never wait by itself."""
    count, size = map(int, scope["query_string"].split(b"x"))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(count):
        piece = os.urandom(1000) * (size // 1000)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@routes
async def half(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin a response, and end it when a test lets it."""
    length = [(b"content-length", b"10")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    note("half")
    await passed("rest")
    await send({"type": "http.response.body", "body": b"-last"})


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


# What an application may send that no client may see.
SAYINGS: dict[str, list[dict[str, Any]]] = {
    "lf in a value": [start(200, (b"x-a", b"a\nset-cookie: b")), body(b"ok")],
    "crlf in a value": [start(200, (b"x-a", b"a\r\nset-cookie: b")), body(b"ok")],
    "cr in a value": [start(200, (b"x-a", b"a\rb")), body(b"ok")],
    "nul in a value": [start(200, (b"x-a", b"a\0b")), body(b"ok")],
    "escape in a value": [start(200, (b"x-a", b"a\x1bb")), body(b"ok")],
    "crlf in a name": [start(200, (b"x-a\r\nx-b", b"a")), body(b"ok")],
    "space in a name": [start(200, (b"x a", b"a")), body(b"ok")],
    "colon in a name": [start(200, (b"x-a:", b"a")), body(b"ok")],
    "empty name": [start(200, (b"", b"a")), body(b"ok")],
    "length that is no number": [start(200, (b"content-length", b"+2")), body(b"ok")],
    "two lengths": [
        start(200, (b"content-length", b"2"), (b"content-length", b"3")),
        body(b"ok"),
    ],
    "status below 100": [start(42), body(b"ok")],
    "status above 999": [start(1000), body(b"ok")],
    "interim status": [start(100), body(b"ok")],
    "length and chunked": [
        start(200, (b"content-length", b"2"), (b"transfer-encoding", b"chunked")),
        body(b"ok"),
    ],
    "body too short": [start(200, (b"content-length", b"5")), body(b"ok")],
    "body too long": [start(200, (b"content-length", b"2")), body(b"okay then")],
    "second body too long": [
        start(200, (b"content-length", b"4")),
        body(b"ok", more=True),
        body(b"ok then"),
    ],
    "body of 204": [start(204), body(b"none may come")],
    "body of 304": [start(304, (b"content-length", b"13")), body(b"none may come")],
    "length of 204": [start(204, (b"content-length", b"0")), body()],
}


@routes
async def say(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the messages that the query names, and note how that went."""
    name = scope["query_string"].decode().replace("+", " ")
    try:
        for message in SAYINGS[name]:
            await send(message)
    except Exception as error:
        note(name, f"{type(error).__name__}: {error}")
        raise
    note(name, "sent")
