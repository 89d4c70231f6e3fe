"""Applications that say what they got.

`reads` reads the body first, `early` never does; `streams` answers in pieces and without a length,
`pauses` lets the loop do other things before it answers, `sometimes` is each of them in turn, as
`manner` says for a path.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any


def _escape(data: bytes) -> str:
    """Bytes as the case files have them."""
    named = {0x0D: "\\r", 0x0A: "\\n", 0x09: "\\t", 0x5C: "\\\\"}
    return "".join(
        named.get(byte, chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in data
    )


def _describe(scope: dict[str, Any], body: bytes | None) -> list[str]:
    """The lines of a case file that an application can see."""
    query = scope["query_string"]
    target = _escape(scope["raw_path"] + (b"?" + query if query else b""))
    lines = [f"request {scope['method']} {target} {scope['http_version']}"]
    lines += [f"field {_escape(name)}: {_escape(value)}" for name, value in scope["headers"]]
    if body:
        lines.append(f"body {_escape(body)}")
    if body is not None:
        lines.append("end")
    return lines


async def _answer(send: Any, lines: list[str]) -> None:
    text = json.dumps(lines).encode()
    length = str(len(text)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def _read(receive: Any) -> bytes | None:
    """The body, or nothing if it does not come to its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def reads(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer what the request was, once it is complete."""
    assert scope["type"] == "http"
    body = await _read(receive)
    if body is not None:
        await _answer(send, _describe(scope, body))


async def streams(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer the same in pieces."""
    body = await _read(receive)
    if body is None:
        return
    text = json.dumps(_describe(scope, body)).encode()
    await send({"type": "http.response.start", "status": 200})
    for piece in (text[:7], b"", text[7:]):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def pauses(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer the same a little later, when more of what the client sends has come."""
    await asyncio.sleep(0.001)
    await reads(scope, receive, send)


async def early(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer what the request was, without a look at its body."""
    assert scope["type"] == "http"
    await _answer(send, _describe(scope, None))


def manner(path: bytes) -> Any:
    """The application that `sometimes` is for this path."""
    return (early, reads, streams, pauses)[len(path) % 4]


async def sometimes(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer in one of these manners."""
    assert scope["type"] == "http"
    await manner(scope["raw_path"])(scope, receive, send)
