"""What the applications of the tests have in common: routes by name, and a board for notes.

A test runs in another process than its application, so the application notes what happens
(`note("gone")`), and the test waits for the note rather than for a time to pass: GET /notes/NAME?2
answers as soon as NAME was noted twice, with what was noted, as JSON. The other way round,
`await passed("go")` waits for GET /pass/go.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[Any]]

_notes: defaultdict[str, list[Any]] = defaultdict(list)
_passes: defaultdict[str, int] = defaultdict(int)
_news: list[asyncio.Future[None]] = []


def note(name: str, value: Any = None) -> None:
    """Note what happened; the value must fit into JSON. Call it on the loop's thread."""
    _notes[name].append(value)
    _tell()


async def noted(name: str, count: int = 1) -> list[Any]:
    """Wait until something was noted `count` times."""
    await _until(lambda: len(_notes[name]) >= count)
    return _notes[name]


async def passed(name: str) -> None:
    """Wait until a test lets one pass."""
    await _until(lambda: _passes[name] > 0)
    _passes[name] -= 1


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        news = asyncio.get_running_loop().create_future()
        _news.append(news)
        await news


def _tell() -> None:
    for news in _news:
        if not news.done():
            news.set_result(None)
    _news.clear()


async def respond(
    send: Send,
    body: bytes | str = b"ok",
    status: int = 200,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Send a whole response, with its length."""
    body = body.encode() if isinstance(body, str) else body
    headers = [(b"content-length", b"%d" % len(body)), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_json(send: Send, value: Any, **settings: Any) -> None:
    await respond(send, json.dumps(value, default=_plain), **settings)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return repr(value)


async def read_body(receive: Receive) -> bytes:
    """Read a whole body; fails if the client leaves before its end."""
    body = []
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        body.append(message["body"])
        more = message["more_body"]
    return b"".join(body)


class Routes:
    """An application made of functions: the first segment of the path is a function's name."""

    def __init__(self) -> None:
        self.routes: dict[str, App] = {"notes": _show_notes, "pass": _let_pass}

        # A function and no method, which some servers take for another kind of application.
        async def app(scope: Scope, receive: Receive, send: Send) -> Any:
            return await self._serve(scope, receive, send)

        self.app = app

    def __call__(self, function: App) -> App:
        self.routes[function.__name__] = function
        return function

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "lifespan":
            return await _live(receive, send)
        name = scope["path"].split("/")[1]
        function = self.routes.get(name or "index")
        if function is None:
            return await respond(send, f"no route {name!r}", status=404)
        return await function(scope, receive, send)


async def _live(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def _show_notes(scope: Scope, receive: Receive, send: Send) -> None:
    name = scope["path"].removeprefix("/notes/")
    await respond_json(send, await noted(name, int(scope["query_string"] or 1)))


async def _let_pass(scope: Scope, receive: Receive, send: Send) -> None:
    _passes[scope["path"].removeprefix("/pass/")] += 1
    _tell()
    await respond(send)
