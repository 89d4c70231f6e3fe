"""Applications that show their scope, as Python writes it: its types are tested as well."""

from __future__ import annotations

from typing import Any

from tests.apps.board import Receive, Routes, Scope, Send, respond

routes = Routes()


@routes
async def spoil(scope: Scope, receive: Receive, send: Send) -> None:
    """Write into everything of the scope that may be written into."""
    scope["asgi"]["version"] = "spoilt"
    scope["extensions"]["spoilt"] = {}
    scope["headers"].append((b"spoilt", b"1"))
    scope["state"]["spoilt"] = True
    scope["path"] = "/spoilt"
    await respond(send)


@routes
async def spoil_shared(scope: Scope, receive: Receive, send: Send) -> None:
    """Try to write into what is said of an extension."""
    try:
        scope["extensions"][scope["query_string"].decode()]["event"] = True
    except TypeError as error:
        await respond(send, type(error).__name__)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Show the scope of any request but those that are for something else."""
    if scope["type"] == "lifespan" or scope["path"].startswith("/spoil"):
        await routes.app(scope, receive, send)
    else:
        extensions = {name: dict(value) for name, value in scope["extensions"].items()}
        for name in ("is_set", "wait"):
            assert callable(getattr(extensions["ferricorn.drain"]["event"], name))
        extensions["ferricorn.drain"]["event"] = "an event"
        await respond(send, repr({**scope, "extensions": extensions}))


class Double:
    """The same as an ASGI 2 application."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> Any:
        """Show the scope."""
        await app(self.scope, receive, send)
