"""What the tests of graceful ends, leaks and large transfers talk to."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.apps.board import Receive, Routes, Scope, Send, note, read_body, respond, respond_json

routes = Routes()
app = routes.app


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, "hello")


@routes
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, await read_body(receive))


@routes
async def early(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, "early")


@routes
async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("meant to fail")


@routes
async def chunks(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response in three parts, with trailers' room left unused."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]})
    for part in (b"one", b"two", b"three"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


@routes
async def until_gone(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@routes
async def cancels(scope: Scope, receive: Receive, send: Send) -> None:
    """Give up waiting for the client, as a task, by a timeout and by cancelling."""
    while (await receive())["more_body"]:
        pass
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(receive(), 0)
    task = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    del task
    receive()
    await respond(send, "cancelled")


@routes
async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    """Be cancelled from outside, while waiting for the client."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    await receive()
    await receive()


@routes
async def waits_for(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in two halves, the second when the file that the query names is there."""
    path = Path(scope["query_string"].decode())
    length = [(b"content-length", b"10")]
    if "begun" in scope["path"]:
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        note("waits")
        await _there(path)
    else:
        note("waits")
        await _there(path)
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await send({"type": "http.response.body", "body": b"-last"})


async def _there(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.01)


@routes
async def size(scope: Scope, receive: Receive, send: Send) -> None:
    """Say how long the body was."""
    total = 0
    more = True
    while more:
        message = await receive()
        total += len(message["body"])
        more = message["more_body"]
    await respond(send, str(total))


@routes
async def zeros(scope: Scope, receive: Receive, send: Send) -> None:
    """Send as many zeros as the query says, with their length or in chunks."""
    left = int(scope["query_string"])
    known = [(b"content-length", b"%d" % left)] if "known" in scope["path"] else []
    await send({"type": "http.response.start", "status": 200, "headers": known})
    piece = bytes(256 * 1024)
    while left:
        part = piece[:left]
        left -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": left > 0})


@routes
async def file(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the file that the query names, by its path."""
    path = scope["query_string"].decode()
    length = [(b"content-length", b"%d" % Path(path).stat().st_size)]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.pathsend", "path": path})


class _MallInfo2(ctypes.Structure):
    """What glibc's allocator says of itself in ten numbers."""

    _fields_ = [(f"field_{number}", ctypes.c_size_t) for number in range(10)]


def _heap() -> int:
    """Bytes that native code has allocated; 0 where the C library does not say."""
    try:
        function = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    function.restype = _MallInfo2
    info = function()
    # Bytes in use: `hblkhd`, mapped one by one, and `uordblks`, the others.
    return int(info.field_4 + info.field_7)


WATCHED: dict[str, Any] = {"None": None, "True": True, "empty": b"", "routes": routes}


@routes
async def figures(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what a leak would make grow."""
    gc.collect()
    loop = asyncio.get_running_loop()
    result = {
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "heap": _heap(),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0,
        "loop references": sys.getrefcount(loop),
        "scope keys": len(scope),
        **{f"{name} references": sys.getrefcount(value) for name, value in WATCHED.items()},
    }
    await respond_json(send, result)
