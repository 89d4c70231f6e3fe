"""Applications that await `receive` and `send` in all the ways that applications do.

Each route does what its name says and answers with what came of it, as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import warnings
from collections.abc import Awaitable, Coroutine
from typing import Any

from tests.apps.board import (
    Receive,
    Routes,
    Scope,
    Send,
    note,
    noted,
    passed,
    read_body,
    respond,
    respond_json,
)

routes = Routes()
app = routes.app

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"body"}


@routes
async def what_they_are(scope: Scope, receive: Receive, send: Send) -> None:
    """Ask the standard library, and asgiref, what the two callables and their results are."""
    from asgiref.sync import iscoroutinefunction

    received = receive()
    sent = send(START)
    seen = {
        "iscoroutine": [asyncio.iscoroutine(each) for each in (received, sent)],
        "isfuture": [asyncio.isfuture(each) for each in (received, sent)],
        "isawaitable": [inspect.isawaitable(each) for each in (received, sent)],
        "Awaitable": [isinstance(each, Awaitable) for each in (received, sent)],
        "Coroutine": [isinstance(each, Coroutine) for each in (received, sent)],
        "callable": [callable(each) for each in (receive, send)],
        "iscoroutinefunction": [iscoroutinefunction(each) for each in (receive, send)],
    }
    await received
    await sent
    await send({**BODY, "body": repr(seen).encode()})


@routes
async def others_of_their_kind(scope: Scope, receive: Receive, send: Send) -> None:
    """Try to make a callable of each type."""
    refused = 0
    for each in (receive, send):
        try:
            type(each)()
        except TypeError:
            refused += 1
    await respond_json(send, refused)


@routes
async def tasks_and_futures(scope: Scope, receive: Receive, send: Send) -> None:
    """Run each call by another of asyncio's means; the loop may be busy in between."""
    loop = asyncio.get_running_loop()

    async def wait() -> Any:
        done, _ = await asyncio.wait({asyncio.ensure_future(receive())})
        return done.pop().result()

    async def traced() -> Any:
        before = sys.gettrace()
        sys.settrace(lambda *_: None)
        try:
            return await receive()
        finally:
            sys.settrace(before)

    class Task(asyncio.Task[Any]):
        pass

    means = [
        lambda: asyncio.ensure_future(receive()),
        lambda: asyncio.create_task(receive()),
        lambda: loop.create_task(receive(), name="named"),
        lambda: asyncio.wait_for(receive(), 10),
        lambda: asyncio.gather(receive()),
        lambda: asyncio.shield(receive()),
        wait,
        traced,
        lambda: Task(receive(), loop=loop),  # type: ignore[arg-type]
        lambda: asyncio.tasks._PyTask(receive(), loop=loop),  # type: ignore[attr-defined]
    ]
    pieces = b""
    for start in means:
        message = await start()
        message = message[0] if isinstance(message, list) else message
        pieces += message["body"]
        note("got", message["body"].decode())
    await asyncio.ensure_future(send(START))
    more = {**BODY, "more_body": True}
    await asyncio.create_task(send(more))
    await asyncio.wait_for(send(more), 10)
    await asyncio.gather(send(more), send(more))
    await asyncio.shield(send(more))
    for next_done in asyncio.as_completed([send(more)]):
        await next_done
    await send({**BODY, "body": pieces})


@routes
async def from_a_thread(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive and send from a thread, as bridges to synchronous code do."""
    loop = asyncio.get_running_loop()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=20)

    def work() -> None:
        body, more = b"", True
        while more:
            message = run(receive())
            body += message["body"]
            more = message["more_body"]
        run(send(START))
        for start in range(0, len(body), 10_000):
            run(send({**BODY, "body": body[start : start + 10_000], "more_body": True}))
        run(send({"type": "http.response.body"}))

    await asyncio.to_thread(work)


@routes
async def made_here_run_in_a_thread_s_loop(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand `send` to a coroutine that a thread passes to the loop, many times at once."""
    loop = asyncio.get_running_loop()
    await send(START)

    async def forward(piece: bytes) -> None:
        await send({**BODY, "body": piece, "more_body": True})

    def work(mark: bytes) -> None:
        for _ in range(50):
            asyncio.run_coroutine_threadsafe(forward(mark * 1000), loop).result(timeout=20)

    await asyncio.gather(*(asyncio.to_thread(work, b"%d" % index) for index in range(4)))
    await send({"type": "http.response.body"})


@routes
async def on_another_loop(scope: Scope, receive: Receive, send: Send) -> None:
    """Send from a loop that a thread runs."""

    async def work() -> None:
        await respond(send, "from another loop")

    await asyncio.to_thread(asyncio.run, work())


@routes
async def after_a_moment(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in a turn of the loop that no client causes."""
    await asyncio.sleep(0.01)
    await respond(send, "after a moment")


@routes
async def nested(scope: Scope, receive: Receive, send: Send) -> None:
    """Run the loop within itself until a test lets it end."""
    import nest_asyncio

    nest_asyncio.apply()
    if scope["query_string"]:
        note("nested")
        asyncio.get_running_loop().run_until_complete(passed("nested"))
    await respond(send, "nested")


@routes
async def wrong_from_a_thread(scope: Scope, receive: Receive, send: Send) -> None:
    """Have a thread send what must not be sent: the error is the thread's."""
    loop = asyncio.get_running_loop()

    def work() -> str:
        try:
            asyncio.run_coroutine_threadsafe(send(BODY), loop).result(timeout=20)
        except RuntimeError as error:
            return str(error)
        return "no error"

    await respond(send, await asyncio.to_thread(work))


@routes
async def not_awaited(scope: Scope, receive: Receive, send: Send) -> None:
    """Call receive, and forget what it returned."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        for _ in range(10):
            receive()
        closed = receive()
        closed.close()  # type: ignore[attr-defined]
        gc.collect()
    body = await read_body(receive)
    await respond(send, body)


@routes
async def cancelled_waits(scope: Scope, receive: Receive, send: Send) -> None:
    """Cancel many waiting calls of receive; the next one still gets what comes."""
    outcomes = []
    for _ in range(100):
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            outcomes.append("cancelled")
    note("all cancelled")
    message = await receive()
    await respond_json(send, [len(outcomes), message["body"].decode(), message["more_body"]])


@routes
async def timeouts(scope: Scope, receive: Receive, send: Send) -> None:
    """Limit the wait for the end by each of the means there are."""
    import anyio

    await read_body(receive)
    outcomes = []
    try:
        await asyncio.wait_for(receive(), 0.01)
    except asyncio.TimeoutError:
        outcomes.append("wait_for")
    if hasattr(asyncio, "timeout"):
        try:
            async with asyncio.timeout(0.01):
                await receive()
        except TimeoutError:
            outcomes.append("timeout")
    else:
        outcomes.append("timeout")
    with anyio.move_on_after(0.01) as limit:
        await receive()
    if limit.cancelled_caught:
        outcomes.append("move_on_after")
    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    outcomes.append("task group")
    done, waiting = await asyncio.wait({asyncio.ensure_future(receive())}, timeout=0.01)
    outcomes.append(f"wait {len(done)} {len(waiting)}")
    waiting.pop().cancel()
    await respond_json(send, outcomes)


@routes
async def generator(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive within an asynchronous generator that is closed before its end."""

    async def stream() -> Any:
        while True:
            message = await receive()
            yield message["body"]
            if not message["more_body"]:
                return

    pieces = stream()
    first = await anext(pieces)
    await pieces.aclose()
    note("generator closed")
    rest = b"".join([piece async for piece in stream()])
    await respond_json(send, [first.decode(), rest.decode()])


@routes
async def by_hand(scope: Scope, receive: Receive, send: Send) -> None:
    """Drive the two coroutines by hand, as schedulers of others do."""
    outcomes = []
    call: Any = receive()
    try:
        call.send(None)
    except StopIteration as stop:
        outcomes.append(stop.value["type"])
    call = send(START)
    try:
        call.send(None)
    except StopIteration as stop:
        outcomes.append(stop.value)
    call = receive()
    future = call.send(None)
    outcomes.append(asyncio.isfuture(future))
    try:
        call.throw(KeyError("thrown"))
    except KeyError as error:
        outcomes.append(repr(error))
    await send({**BODY, "body": repr(outcomes).encode()})


@routes
async def blocked_send_given_up(scope: Scope, receive: Receive, send: Send) -> None:
    """Give up waiting in send until the client reads; what was sent is sent, once."""
    await send({**START, "headers": [(b"content-length", b"%d" % (40 * 1_000_000))]})
    given_up = 0
    for number in range(40):
        try:
            await asyncio.wait_for(
                send({**BODY, "body": bytes([number]) * 1_000_000, "more_body": True}), 0.01
            )
        except asyncio.TimeoutError:
            given_up += 1
            if given_up == 1:
                note("send given up")
                await passed("send on")
    await send({"type": "http.response.body"})


@routes
async def outlives_its_request(scope: Scope, receive: Receive, send: Send) -> None:
    """Keep the two callables beyond the request, and use them then."""
    await respond(send)

    async def later() -> None:
        await noted("use it")
        message = await receive()
        try:
            await send(BODY)
        except RuntimeError as error:
            note("used", [message["type"], str(error)])
        else:
            note("used", [message["type"], "dropped"])

    kept.add(asyncio.ensure_future(later()))


kept: set[Any] = set()


@routes
async def use(scope: Scope, receive: Receive, send: Send) -> None:
    """Let the outliving task go on while this request, of the same connection, is served."""
    note("use it")
    used = await noted("used")
    await respond_json(send, used)


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer."""
    await respond(send)
