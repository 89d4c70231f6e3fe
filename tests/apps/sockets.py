"""Applications that speak WebSocket, each by the first segment of its path."""

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
    noted,
    passed,
    respond,
    respond_json,
)

routes = Routes()
app = routes.app


def shown(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as a note can hold it."""
    return {k: v.decode("latin-1") if isinstance(v, bytes) else v for k, v in message.items()}


async def accept(receive: Receive, send: Send, **settings: Any) -> None:
    assert (await receive()) == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **settings})


@routes
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send each message back, until the client leaves."""
    if scope["type"] == "http":
        await respond(send, "plain")
        return
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    note("left", shown(message))


@routes
async def counts_tasks(scope: Scope, receive: Receive, send: Send) -> None:
    """Say how many tasks there are."""
    await asyncio.sleep(0)
    await respond(send, str(len(asyncio.all_tasks())))


@routes
async def shows_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the scope."""
    if scope["type"] == "http":
        await respond_json(send, scope)
        return
    await accept(receive, send)
    await send({"type": "websocket.send", "text": repr(scope)})


@routes
async def accepts(scope: Scope, receive: Receive, send: Send) -> None:
    """Choose the last subprotocol and add a header."""
    offered = scope["subprotocols"]
    await accept(
        receive,
        send,
        subprotocol=offered[-1] if offered else None,
        headers=[(b"x-greeting", b"hello"), (b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")],
    )
    await receive()


@routes
async def denies(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})
    note("after", shown(await receive()))


@routes
async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as plain HTTP."""
    assert scope["extensions"]["websocket.http.response"] == {}
    await receive()
    headers = [(b"content-type", b"text/html"), (b"x-reason", b"full")]
    await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"<p>no ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"room</p>"})
    note("after", shown(await receive()))


@routes
async def answers_with_trailers(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as plain HTTP, with a key that only plain HTTP's messages have."""
    await receive()
    await send({"type": "websocket.http.response.start", "status": 418, "trailers": True})
    await send({"type": "websocket.http.response.body", "body": b"no room"})


@routes
async def closes(scope: Scope, receive: Receive, send: Send) -> None:
    """Close with what the query says."""
    await accept(receive, send)
    code, _, reason = scope["query_string"].decode().partition("&")
    message: dict[str, Any] = {"type": "websocket.close"}
    if code:
        message["code"] = int(code)
    if reason:
        message["reason"] = reason
    await send(message)
    note("after", shown(await receive()))
    try:
        await send({"type": "websocket.send", "text": "late"})
    except RuntimeError as error:
        note("late", str(error))


@routes
async def closes_while_others_wait(scope: Scope, receive: Receive, send: Send) -> None:
    """Close while one task waits for a message and, if the query says so, one to send."""
    await accept(receive, send)

    async def listen() -> None:
        note("told", shown(await receive()))

    async def talk() -> None:
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(1_000_000)})
                note("sent")
        except RuntimeError as error:
            note("late", str(error))

    tasks = [asyncio.ensure_future(listen())]
    if scope["query_string"]:
        tasks.append(asyncio.ensure_future(talk()))
    await passed("close")
    await send({"type": "websocket.close", "code": 4000})
    await asyncio.gather(*tasks)


@routes
async def accepts_when_others_left(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept when another application has noted that its client has left."""
    assert (await receive()) == {"type": "websocket.connect"}
    note("asked")
    await noted("left")
    await send({"type": "websocket.accept"})
    note("told", shown(await receive()))


@routes
async def accepts_later(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept when a test says so, and note what comes of it."""
    assert (await receive()) == {"type": "websocket.connect"}
    note("asked")
    await passed("accept")
    try:
        await send({"type": "websocket.accept"})
    except OSError as error:
        note("refused", type(error).__name__)
        note("told", shown(await receive()))
        raise
    await receive()


@routes
async def pours(scope: Scope, receive: Receive, send: Send) -> None:
    """Send as many messages of as many bytes as the query says, and never wait by itself."""
    count, size = map(int, scope["query_string"].split(b"x"))
    await accept(receive, send)
    for _ in range(count):
        await send({"type": "websocket.send", "bytes": os.urandom(1000) * (size // 1000)})


@routes
async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)


@routes
async def returns_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Do nothing."""


@routes
async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    raise ValueError("on purpose")


@routes
async def raises_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("on purpose")


@routes
async def sends_late(scope: Scope, receive: Receive, send: Send) -> None:
    """Send when the client is gone, and let that out."""
    await accept(receive, send)
    note("left", shown(await receive()))
    try:
        await send({"type": "websocket.send", "text": "late"})
    except OSError as error:
        note("late", type(error).__name__)
        raise


@routes
async def sends(scope: Scope, receive: Receive, send: Send) -> None:
    """Send without end, and note how far it came when the client leaves."""
    await accept(receive, send)
    size = int(scope["query_string"] or 65536)
    count = 0
    try:
        while True:
            await send({"type": "websocket.send", "bytes": b"x" * size})
            count += 1
            note("sent", count)
            await asyncio.sleep(0)
    except OSError:
        note("stopped", count)


@routes
async def hears_later(scope: Scope, receive: Receive, send: Send) -> None:
    """Take messages one by one, each when a test says so."""
    await accept(receive, send)
    while True:
        await passed("next")
        message = await receive()
        note("heard", message["type"])
        if message["type"] != "websocket.receive":
            return
        await send({"type": "websocket.send", "text": str(len(message.get("bytes") or b""))})


@routes
async def listens(scope: Scope, receive: Receive, send: Send) -> None:
    """Note everything that comes."""
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        note("heard", message["text"])
    note("left", shown(message))


@routes
async def listens_later(scope: Scope, receive: Receive, send: Send) -> None:
    """Note everything that comes, when a test says so."""
    await accept(receive, send)
    note("accepted")
    await passed("listen")
    while (message := await receive())["type"] == "websocket.receive":
        note("heard", message["text"])
    note("left", shown(message))
    note("left", shown(await receive()))


@routes
async def greets(scope: Scope, receive: Receive, send: Send) -> None:
    """Speak first, three times and then as often as a message comes."""
    await accept(receive, send)
    for number in range(3):
        await send({"type": "websocket.send", "text": f"hello {number}"})
    while (await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": b"heard"})


@routes
async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait with a time limit, for messages that may not come."""
    await accept(receive, send)
    try:
        await asyncio.wait_for(receive(), 0.01)
    except asyncio.TimeoutError:
        await send({"type": "websocket.send", "text": "timeout"})
    first = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    first.cancel()
    try:
        await first
    except asyncio.CancelledError:
        await send({"type": "websocket.send", "text": "cancelled"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


@routes
async def gives_up_when_woken(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive in two tasks, and cancel the one that a message wakes before it can take it."""
    loop = asyncio.get_running_loop()

    # With a factory no task runs within the turn that wakes it.
    def make(_: Any, coroutine: Any, **settings: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coroutine, loop=loop, **settings)

    loop.set_task_factory(make)
    await accept(receive, send)
    tasks = [asyncio.ensure_future(receive()) for _ in range(2)]
    await asyncio.sleep(0)
    waits = [task._fut_waiter for task in tasks]  # type: ignore[attr-defined]
    note("receiving")
    while not any(wait.done() for wait in waits):
        await asyncio.sleep(0)
    woken = next(task for task, wait in zip(tasks, waits, strict=True) if wait.done())
    woken.cancel()
    tasks.remove(woken)
    note("heard", (await tasks[0]).get("text"))
    loop.set_task_factory(None)


@routes
async def misuses(scope: Scope, receive: Receive, send: Send) -> None:
    """Send what may not be sent, and tell what came of it."""
    told = []

    async def attempt(message: Any) -> None:
        try:
            await send(message)
        except Exception as error:
            told.append(f"{type(error).__name__}: {error}")
        else:
            told.append("sent")

    await receive()
    await attempt({"type": "websocket.send", "text": "early"})
    await attempt({"type": "http.response.start", "status": 200})
    await attempt({"type": "websocket.accept", "subprotocol": 5})
    await attempt({"type": "websocket.accept", "headers": [(b"x", b"a\r\nb")]})
    await attempt({"type": "websocket.accept", "headers": [(b"upgrade", b"h2c")]})
    await attempt({"type": "websocket.accept"})
    await attempt({"type": "websocket.accept"})
    await attempt({"type": "websocket.send"})
    await attempt({"type": "websocket.send", "text": b"bytes"})
    await attempt({"type": "websocket.send", "text": "\ud800"})
    await attempt({"type": "websocket.close", "code": 1006})
    await attempt({"type": "websocket.close", "code": 70000})
    await send({"type": "websocket.send", "text": "\n".join(told)})


@routes
async def everywhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Send what each client says to all clients."""
    await accept(receive, send)
    _clients.append(send)
    note("joined", len(_clients))
    try:
        while (message := await receive())["type"] == "websocket.receive":
            for client in list(_clients):
                await client({**message, "type": "websocket.send"})
    finally:
        _clients.remove(send)
        note("parted", len(_clients))


_clients: list[Send] = []
