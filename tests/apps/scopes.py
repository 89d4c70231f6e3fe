"""Applications that show their scope, as Python writes it: its types are tested as well."""

from __future__ import annotations

from typing import Any

from tests.apps.board import Receive, Routes, Scope, Send, note, passed, respond

routes = Routes()


@routes
async def spoil(scope: Scope, receive: Receive, send: Send) -> None:
    """Write into everything of the scope that may be written into."""
    scope["asgi"]["version"] = "spoilt"
    scope["extensions"]["http.response.pathsend"]["spoilt"] = True
    scope["extensions"]["spoilt"] = {}
    scope["headers"].append((b"spoilt", b"1"))
    scope["state"]["spoilt"] = True
    scope["path"] = "/spoilt"
    await respond(send)


@routes
async def spoil_and_wait(scope: Scope, receive: Receive, send: Send) -> None:
    """Write into an extension's dictionary, and keep it until a test lets go."""
    mine = scope["extensions"]["http.response.pathsend"]
    mine["spoilt"] = True
    note("spoilt")
    await passed("spoil")
    await respond(send, repr(mine))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Show the scope of any request but those that are for something else."""
    if scope["type"] == "lifespan" or scope["path"].startswith(("/spoil", "/notes", "/pass")):
        await routes.app(scope, receive, send)
    else:
        await respond(send, repr(scope))


class Double:
    """The same as an ASGI 2 application."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> Any:
        """Show the scope."""
        await app(self.scope, receive, send)
