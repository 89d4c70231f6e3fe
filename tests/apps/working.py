"""What a worker can do to its parent: say who it is, hang, die, grow, and fail to start.

BOOT in the environment names a file: what it says decides on the start: `exit N` ends the process
while this is imported, `raise` fails the import.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from tests.apps.board import Receive, Routes, Scope, Send, read_body, respond

_boot = Path(os.environ["BOOT"]).read_text() if "BOOT" in os.environ else ""
if _boot.startswith("exit"):
    sys.exit(int(_boot.split()[1]))
if _boot == "raise":
    raise RuntimeError("this module does not like to be imported")

route = Routes()
app = route.app
_kept = []


@route
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, str(os.getpid()))


@route
async def holds_the_loop(scope: Scope, receive: Receive, send: Send) -> None:
    print("holding\n", end="", flush=True)
    while not Path(scope["query_string"].decode()).exists():
        time.sleep(0.01)
    await respond(send, str(os.getpid()))


@route
async def waits_for(scope: Scope, receive: Receive, send: Send) -> None:
    print("working\n", end="", flush=True)
    while not Path(scope["query_string"].decode()).exists():
        await asyncio.sleep(0.01)
    await respond(send, str(os.getpid()))


@route
async def reads(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, await read_body(receive))


@route
async def halves(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one ", "more_body": True})
    while not Path(scope["query_string"].decode()).exists():
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"two"})


@route
async def grows(scope: Scope, receive: Receive, send: Send) -> None:
    _kept.append(b"x" * (int(scope["query_string"]) << 20))
    await respond(send, str(os.getpid()))
