"""Applications to be mounted beside each other, which say what they were called with."""

from __future__ import annotations

import asyncio
import contextvars
import json
from typing import Any

STARTED = contextvars.ContextVar("STARTED", default="")

#: Names of the ASGI applications whose lifespans have started, in order.
started: list[str] = []


class Asgi:
    """Answers with its name and its scope, echoes bodies and messages."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.live(scope, receive, send)
        if scope["type"] == "websocket":
            return await self.echo(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if scope["path"].endswith("/stream"):
            await send({"type": "http.response.start", "status": 200})
            for number in range(100):
                await send(
                    {"type": "http.response.body", "body": b"%d\n" % number, "more_body": True}
                )
                await asyncio.sleep(0)
            return await send({"type": "http.response.body"})
        told = {
            "name": self.name,
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode(),
            "root_path": scope["root_path"],
            "state": scope["state"],
            "client": scope["client"][0],
            "body": len(body),
        }
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})
        return None

    async def live(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if self.name == "failing":
            return await send({"type": "lifespan.startup.failed", "message": "no database"})
        scope["state"]["of"] = self.name
        STARTED.set(f"{STARTED.get()}{self.name} ")
        print(f"NOTE start {self.name}", flush=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print(f"NOTE end {self.name}", flush=True)
        return await send({"type": "lifespan.shutdown.complete"})

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{self.name} {message['text']}"})


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    told = {
        "name": "wsgi",
        "script_name": environ["SCRIPT_NAME"],
        "path_info": environ["PATH_INFO"],
        "client": environ["REMOTE_ADDR"],
        "body": len(environ["wsgi.input"].read()),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def other_wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    return [part.replace(b'"wsgi"', b'"other"') for part in wsgi(environ, start_response)]


app = Asgi("root")
inner = Asgi("inner")
failing = Asgi("failing")
