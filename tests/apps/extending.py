"""Applications that use the extensions of HTTP responses."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from tests.apps.board import Receive, Routes, Scope, Send, note, respond

routes = Routes()
app = routes.app

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"body"}


def _path(scope: Scope) -> str:
    return str(scope["query_string"].decode())


def _start(length: int | None) -> dict[str, Any]:
    headers = [] if length is None else [(b"content-length", b"%d" % length)]
    return {**START, "headers": headers}


@routes
async def path_with_length(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the file that the query names, announcing its length."""
    await send(_start(os.path.getsize(_path(scope))))
    await send({"type": "http.response.pathsend", "path": _path(scope)})
    note("path sent")


@routes
async def path_without_length(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the file that the query names."""
    await send(_start(None))
    await send({"type": "http.response.pathsend", "path": _path(scope)})


@routes
async def path_before_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a file before the response has begun."""
    try:
        await send({"type": "http.response.pathsend", "path": _path(scope)})
    except Exception as error:
        await respond(send, type(error).__name__)


@routes
async def path_twice(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a file after the file that was the whole body."""
    await send(_start(None))
    await send({"type": "http.response.pathsend", "path": _path(scope)})
    try:
        await send({"type": "http.response.pathsend", "path": _path(scope)})
    except RuntimeError as error:
        note("twice", str(error))


@routes
async def path_missing(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a file that is not there; what the error is, is noted."""
    await send(_start(None))
    try:
        await send({"type": "http.response.pathsend", "path": _path(scope)})
    except OSError as error:
        note("missing", type(error).__name__)
        await send(BODY)


@routes
async def path_unfit(scope: Scope, receive: Receive, send: Send) -> None:
    """Send what is there and is no file: the error lets the response go on."""
    await send(_start(None))
    try:
        await send({"type": "http.response.pathsend", "path": _path(scope)})
    except OSError:
        await send(BODY)


@routes
async def descriptor(scope: Scope, receive: Receive, send: Send) -> None:
    """Send parts of an open file among parts from memory."""
    await send(_start(None))
    zero_copy: dict[str, Any] = {"type": "http.response.zerocopysend", "more_body": True}
    with open(_path(scope), "rb") as file:
        await send({**zero_copy, "file": file, "offset": 5, "count": 10})
        await send({**BODY, "more_body": True})
        file.seek(0)
        await send({**zero_copy, "file": file, "count": 3})
        # As with `os.sendfile`, what is sent from the position moves it.
        await send({**zero_copy, "file": file, "count": 4})
        await send({**BODY, "body": b"[%d]" % file.tell(), "more_body": True})
        await send({**zero_copy, "file": file, "offset": 90})
        await send({**zero_copy, "file": file, "offset": 0, "count": 0})
        file.seek(95)
        await send({**zero_copy, "file": file})
    await send({"type": "http.response.body", "body": b"end"})


@routes
async def descriptor_closed_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Close the file as soon as send has returned, and remove it."""
    size = os.path.getsize(_path(scope))
    await send(_start(size))
    with open(_path(scope), "rb") as file:
        call = send({"type": "http.response.zerocopysend", "file": file, "offset": 0})
        await call
    os.unlink(_path(scope))
    note("closed")


@routes
async def descriptor_of_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Send from what is no file."""
    await send(_start(None))
    for file in (None, 3, object()):
        try:
            await send({"type": "http.response.zerocopysend", "file": file})
        except Exception as error:
            note("nothing", type(error).__name__)
    await send(BODY)


@routes
async def file_shrinks(scope: Scope, receive: Receive, send: Send) -> None:
    """Announce more than the file has."""
    await send(_start(os.path.getsize(_path(scope)) + 1))
    await send({"type": "http.response.pathsend", "path": _path(scope)})


@routes
async def trailers(scope: Scope, receive: Receive, send: Send) -> None:
    """Send trailers, in two messages."""
    await send({**START, "headers": [(b"trailer", b"x-sum, x-more")], "trailers": True})
    await send({**BODY, "more_body": True})
    await send(BODY)
    message: dict[str, Any] = {"type": "http.response.trailers"}
    await send({**message, "headers": [(b"X-Sum", b"1")], "more_trailers": True})
    await send({**message, "headers": [(b"x-more", b"2")]})
    note("trailers sent")


@routes
async def trailers_of_a_refused_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Announce trailers with a head that is refused, then respond without them."""
    with contextlib.suppress(RuntimeError):
        await send({**START, "headers": [(b"broken", b"a\r\nb")], "trailers": True})
    await respond(send, "no trailers")


@routes
async def trailers_left_out(scope: Scope, receive: Receive, send: Send) -> None:
    """Announce trailers, and send none."""
    await send({**START, "trailers": True})
    await send(BODY)


@routes
async def trailers_not_announced(scope: Scope, receive: Receive, send: Send) -> None:
    """Send trailers that were not announced."""
    await send({**START, "headers": [(b"content-length", b"4")]})
    await send(BODY)
    try:
        await send({"type": "http.response.trailers", "headers": []})
    except RuntimeError as error:
        note("not announced", str(error))


@routes
async def trailers_that_frame(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a trailer that no trailer section may have."""
    await send({**START, "trailers": True})
    await send(BODY)
    try:
        await send({"type": "http.response.trailers", "headers": [(b"content-length", b"4")]})
    except RuntimeError as error:
        note("framing trailer", str(error))
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


@routes
async def early_hints(scope: Scope, receive: Receive, send: Send) -> None:
    """Send hints twice, then a response."""
    hint: dict[str, Any] = {"type": "http.response.early_hint"}
    await send({**hint, "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
    await send({**hint, "links": (link for link in [b"</c>; rel=next"])})
    await respond(send)


@routes
async def late_hint(scope: Scope, receive: Receive, send: Send) -> None:
    """Send hints after the start, and hints that would break their head."""
    hint: dict[str, Any] = {"type": "http.response.early_hint"}
    try:
        await send({**hint, "links": [b"</a>\r\n\r\nHTTP/1.1 200 OK"]})
    except RuntimeError:
        note("broken hint")
    await send({**START, "headers": [(b"content-length", b"4")]})
    try:
        await send({**hint, "links": [b"</a>"]})
    except RuntimeError as error:
        note("late hint", str(error))
    await send(BODY)


@routes
async def debug(scope: Scope, receive: Receive, send: Send) -> None:
    """Send what is for test clients, before, between and after."""
    message = {"type": "http.response.debug", "info": {"template": object()}}
    await send(message)
    await send({**START, "headers": [(b"content-length", b"4")]})
    await send(message)
    await send(BODY)


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer."""
    await respond(send)
