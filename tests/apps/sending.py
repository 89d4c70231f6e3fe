"""Applications that send in all manners, right and wrong."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import logging
from collections.abc import Callable
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

START: dict[str, Any] = {"type": "http.response.start", "status": 200}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"body"}


@routes
async def script(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the messages that the request's body lists, in Python's notation."""
    for message in ast.literal_eval((await read_body(receive)).decode()):
        await send(message)


@routes
async def attempt(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the messages of the body; show the exception, with a response if that may still begin.

    What the exception was is noted as well, as `attempt`.
    """
    started = False
    try:
        for message in ast.literal_eval((await read_body(receive)).decode()):
            await send(message)
            started |= message["type"] == "http.response.start"
    except Exception as error:
        note("attempt", f"{type(error).__name__}: {error}")
        if started:
            raise
        await respond(send, f"{type(error).__name__}: {error}", status=299)
    else:
        note("attempt", "fine")


@routes
async def kinds_of_bytes(scope: Scope, receive: Receive, send: Send) -> None:
    """Send everything that is like bytes, and change it afterwards."""
    first = bytearray(b"bytearray;")
    second = bytearray(b"memoryview;" + b"m" * 100_000)
    headers = [[b"x-list", b"1"], (bytearray(b"x-bytearray"), memoryview(b"2"))]
    await send({**START, "headers": (line for line in headers)})
    for piece in (first, memoryview(second), b"bytes;"):
        await send({**BODY, "body": piece, "more_body": True})
    first[:] = second[:] = b"changed"
    await send({"type": "http.response.body"})


class Text(str):
    """A kind of `str`, as enumerations have."""


class Octets(bytes):
    """A kind of `bytes`."""


@routes
async def bytes_with_a_will(scope: Scope, receive: Receive, send: Send) -> None:
    """Send bytes that send as well when they are dropped."""

    class Heir(bytes):
        def __del__(self) -> None:
            with contextlib.suppress(RuntimeError):
                send({**BODY, "body": b"late", "more_body": True})

    class Testator(bytes):
        def __bytes__(self) -> bytes:
            return Heir(self[:])

    await send({**START, "headers": [(b"content-length", b"8")]})
    await send({**BODY, "body": Testator(b"body")})


@routes
async def clears_its_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave nothing for the log to tell of."""
    scope.clear()
    await respond(send, "cleared")


@routes
async def subclasses(scope: Scope, receive: Receive, send: Send) -> None:
    """Send messages of subclasses."""
    await send(
        {
            "type": Text("http.response.start"),
            "status": 200,
            "headers": [(Octets(b"x-kind"), Octets(b"sub"))],
        }
    )
    await send({"type": Text("http.response.body"), "body": Octets(b"octets")})


@routes
async def step_by_step(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a piece whenever a test lets one pass."""
    await send({**START, "headers": []})
    for number in range(3):
        await passed("step")
        await send({**BODY, "body": b"step %d" % number, "more_body": True})
    await passed("step")
    await send({**BODY, "body": b""})


@routes
async def after_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Send after the client has left, which is nobody's fault."""
    await read_body(receive)
    await receive()
    await send({**START, "headers": []})
    for _ in range(100):
        await send({**BODY, "body": b"x" * 100_000, "more_body": True})
    await send({"type": "http.response.body"})
    note("sent to nobody")


@routes
async def flood(scope: Scope, receive: Receive, send: Send) -> None:
    """Send pieces as fast as they go, and note how many went; `/flood/PIECES/SIZE`."""
    pieces, size = map(int, scope["path"].split("/")[2:])
    global flooded
    flooded = 0
    await send({**START, "headers": [(b"content-length", b"%d" % (pieces * size))]})
    for number in range(pieces):
        await send({**BODY, "body": bytes([number % 251]) * size, "more_body": True})
        flooded = number + 1
    await send({"type": "http.response.body"})
    note("flood over")


flooded = 0


@routes
async def two_senders(scope: Scope, receive: Receive, send: Send) -> None:
    """End the response while another task waits for room to send."""
    await send(START)

    async def fill() -> None:
        with contextlib.suppress(RuntimeError):
            while True:
                await send({**BODY, "body": bytes(200_000), "more_body": True})
        note("other sender over")

    other = asyncio.create_task(fill())
    await asyncio.sleep(0.2)
    await send(BODY)
    await other


@routes
async def breaks_the_factory(scope: Scope, receive: Receive, send: Send) -> None:
    """Have the loop fail to make the next task."""
    loop = asyncio.get_running_loop()

    def factory(loop: Any, coroutine: Any, **options: Any) -> Any:
        if type(coroutine).__module__ != "ferricorn._native":
            return asyncio.Task(coroutine, loop=loop, **options)
        loop.set_task_factory(None)
        raise FaultError("no task")

    await respond(send)
    loop.set_task_factory(factory)


@routes
async def changes_the_log(scope: Scope, receive: Receive, send: Send) -> None:
    """Change the logger of access lines while the server runs, as the query says."""
    logger = logging.getLogger("uvicorn.access")
    match scope["query_string"]:
        case b"silent":
            logger.setLevel(logging.WARNING)
        case b"loud":
            logger.setLevel(logging.INFO)
        case b"twice":
            logger.addHandler(logging.StreamHandler())
        case b"filter":
            logger.addFilter(lambda record: "secret" not in record.getMessage())
    await respond(send)


@routes
async def progress(scope: Scope, receive: Receive, send: Send) -> None:
    """Say how many pieces of the flood went."""
    await respond(send, str(flooded))


@routes
async def one_large_piece(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a single piece, larger than all buffers; note when it went."""
    size = 32 * 1024 * 1024
    await respond(send, b"x" * size)
    note("large piece went")


@routes
async def at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Say whether the loop had a turn during sends that need not wait."""
    turns: list[None] = []
    asyncio.get_running_loop().call_soon(turns.append, None)
    await send({**START, "headers": []})
    await send({**BODY, "body": b"small", "more_body": True})
    await send({**BODY, "body": str(len(turns)).encode()})


@routes
async def interleaved(scope: Scope, receive: Receive, send: Send) -> None:
    """Have several tasks send pieces at the same time; `/interleaved/TASKS`."""
    tasks = int(scope["path"].split("/")[2])
    await send({**START, "headers": []})

    async def send_pieces(mark: bytes) -> None:
        for _ in range(20):
            await send({**BODY, "body": mark * 50_000, "more_body": True})

    await asyncio.gather(*(send_pieces(b"%d" % index) for index in range(tasks)))
    await send({"type": "http.response.body"})


# Faults of applications


class FaultError(Exception):
    """What the applications here raise."""


@routes
async def raises_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise before anything."""
    raise FaultError("at once")


@routes
async def raises_after_wait(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise after the task has waited."""
    await asyncio.sleep(0)
    raise FaultError("after wait")


@routes
async def raises_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise when the head is sent."""
    await send({**START, "headers": [(b"content-length", b"4")]})
    raise FaultError("after start")


@routes
async def raises_within_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise when a part of the body is sent."""
    await send({**START, "headers": []})
    await send({**BODY, "more_body": True})
    await asyncio.sleep(0)
    raise FaultError("within body")


@routes
async def raises_after_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise when everything is sent."""
    await respond(send, "whole")
    raise FaultError("after end")


@routes
async def raises_when_left(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise because the client has left."""
    await read_body(receive)
    await receive()
    raise FaultError("when left")


@routes
async def raises_group(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise an exception whose text is of several lines, from another one."""
    try:
        raise KeyError("inner cause")
    except KeyError as error:
        raise FaultError("several\nlines") from error


def _raiser(error: BaseException) -> Callable[[Scope, Receive, Send], Any]:
    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return raises


routes.routes["raises_cancelled"] = _raiser(asyncio.CancelledError())
routes.routes["raises_stop"] = _raiser(StopAsyncIteration("stop"))
routes.routes["raises_generator_exit"] = _raiser(GeneratorExit())
routes.routes["raises_system_exit"] = _raiser(SystemExit("exit"))


@routes
async def cancels_itself(scope: Scope, receive: Receive, send: Send) -> None:
    """Be cancelled, as a middleware may do."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(3600)


@routes
async def returns_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Forget to answer."""


@routes
async def returns_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Forget the body."""
    await send({**START, "headers": [(b"content-length", b"4")]})


@routes
async def returns_within_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Forget the end of the body."""
    await send({**START, "headers": []})
    await send({**BODY, "more_body": True})


@routes
async def returns_something(scope: Scope, receive: Receive, send: Send) -> Any:
    """Return a value, which no application should."""
    await respond(send)
    return 42


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer."""
    await respond(send)


@routes
async def waits_for_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Outlive the client, and end when a test lets it."""
    note("waiting")
    while (await receive())["type"] != "http.disconnect":
        pass
    note("left alone")
    await passed("end")


@routes
async def request_ids(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the ids that the request's headers have."""
    ids = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"]
    await respond_json(send, ids)
