"""Applications that receive in all manners."""

from __future__ import annotations

import asyncio
import hashlib
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


@routes
async def messages(scope: Scope, receive: Receive, send: Send) -> None:
    """Show each message up to the end of the body."""
    got = [await receive()]
    while got[-1].get("more_body"):
        got.append(await receive())
    await respond(send, repr(got))


@routes
async def body(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the body back."""
    await respond(send, await read_body(receive))


@routes
async def digest(scope: Scope, receive: Receive, send: Send) -> None:
    """Say how long the body is, how long its longest piece, and what its hash."""
    hashed, length, longest, more = hashlib.sha256(), 0, 0, True
    while more:
        message = await receive()
        hashed.update(message["body"])
        length += len(message["body"])
        longest = max(longest, len(message["body"]))
        more = message["more_body"]
    answer = {"length": length, "longest": longest, "sha256": hashed.hexdigest()}
    await respond_json(send, answer)


@routes
async def as_it_comes(scope: Scope, receive: Receive, send: Send) -> None:
    """Note each piece when it comes."""
    more = True
    while more:
        message = await receive()
        note("piece", message.get("body", b"").decode() or message["type"])
        more = message.get("more_body", False)
    await respond(send)


@routes
async def ends(scope: Scope, receive: Receive, send: Send) -> None:
    """Note what is received, for ever."""
    await _note_all("ends", receive, 5)


@routes
async def answers_and_ends(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond, then note what is received."""
    await read_body(receive)
    await respond(send)
    await _note_all("after", receive, 3)


@routes
async def answers_unread(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond without a look at the body, then note what is received."""
    await respond(send)
    await _note_all("unread", receive, 3)


async def _note_all(name: str, receive: Receive, count: int) -> None:
    for _ in range(count):
        message = await receive()
        note(name, {**message, "body": message.get("body", b"").decode()})


@routes
async def answers_on_disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond when the client leaves, which may still read."""
    await read_body(receive)
    note("left", (await receive())["type"])
    await respond(send, "farewell")
    note("sent")


@routes
async def never_receives(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave the body where it is until a test lets this pass, then read it."""
    note("standing")
    await passed("read")
    total = 0
    more = True
    while more:
        message = await receive()
        total += len(message["body"])
        more = message["more_body"]
    await respond(send, str(total))


@routes
async def two_receivers(scope: Scope, receive: Receive, send: Send) -> None:
    """Have two calls of receive wait at once."""
    first, second = (asyncio.ensure_future(receive()) for _ in range(2))
    await asyncio.sleep(0)
    note("two wait")
    await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    done = [task for task in (first, second) if task.done()]
    note("one of two", [len(done), done[0].result()["body"].decode()])
    await asyncio.wait({first, second})
    note("other of two", sorted(task.result()["type"] for task in (first, second)))


@routes
async def many_wait_for_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Have ten calls of receive wait for the client to leave."""
    await read_body(receive)
    waiting = [asyncio.ensure_future(receive()) for _ in range(10)]
    await asyncio.sleep(0)
    note("ten wait")
    note("ten left", [message["type"] for message in await asyncio.gather(*waiting)])


@routes
async def cancelled_as_it_is_woken(scope: Scope, receive: Receive, send: Send) -> None:
    """Cancel a call of receive after it was woken and before it ran."""
    got: list[Any] = []

    async def take() -> None:
        message = await receive()
        got.append(message["body"].decode())
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()

    more = True
    while more:
        tasks = [asyncio.ensure_future(take()) for _ in range(3)]
        await asyncio.sleep(0)
        note("three wait")
        await asyncio.wait(tasks)
        more = len("".join(got)) < 9
    await respond_json(send, got)


@routes
async def wait_for_and_again(scope: Scope, receive: Receive, send: Send) -> None:
    """Give up waiting for each piece once, then wait again."""
    got = []
    more = True
    while more:
        try:
            message = await asyncio.wait_for(receive(), 0.01)
        except asyncio.TimeoutError:
            note("given up")
            message = await receive()
        got.append(message["body"].decode())
        more = message["more_body"]
    await respond_json(send, "".join(got))


@routes
async def receives_in_another_task(scope: Scope, receive: Receive, send: Send) -> None:
    """Have a background task that listens for the end while the response goes on."""

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        note("listener heard")

    listener = asyncio.ensure_future(listen())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await listener
    await send({"type": "http.response.body", "body": b"nobody reads this"})
    note("sender done")


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer."""
    await respond(send)
