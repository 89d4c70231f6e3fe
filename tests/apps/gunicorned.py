"""What the tests of gunicorn's worker talk to, and a worker as users derive theirs.

STARTS and ENDS in the environment are the seconds that the lifespan takes, FAILS has it fail.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, ClassVar

from tests.apps.board import Receive, Routes, Scope, Send, respond

from ferricorn.workers import FerricornWorker

routes = Routes()


class OwnWorker(FerricornWorker):
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "headers": [("x-own", "yes")],
        "timeout_keep_alive": 1,
    }


class JSONWorker(FerricornWorker):
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"log_format": "json"}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        return await routes.app(scope, receive, send)
    await receive()
    await asyncio.sleep(float(os.environ.get("STARTS", "0")))
    outcome = "failed" if "FAILS" in os.environ else "complete"
    await send({"type": f"lifespan.startup.{outcome}"})
    await receive()
    await asyncio.sleep(float(os.environ.get("ENDS", "0")))
    return await send({"type": "lifespan.shutdown.complete"})


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, str(os.getpid()))


@routes
async def loop(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, type(asyncio.get_running_loop()).__module__)


@routes
async def client(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, scope["client"][0])


@routes
async def waits_for(scope: Scope, receive: Receive, send: Send) -> None:
    print("it waits\n", end="", flush=True)
    while not Path(scope["query_string"].decode()).exists():
        await asyncio.sleep(0.01)
    await respond(send, str(os.getpid()))


@routes
async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("meant to fail")


@routes
async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
    while True:
        time.sleep(60)
