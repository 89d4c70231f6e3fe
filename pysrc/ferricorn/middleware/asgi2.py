"""Shows an ASGI 2 application (two calls) as an ASGI 3 application (one call)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferricorn.typing import ASGI2Application, Receive, Scope, Send


class ASGI2Middleware:
    """Makes the application with the scope, then runs what came out with the channels."""

    def __init__(self, app: type[ASGI2Application]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one scope."""
        instance = self.app(scope)
        return await instance(receive, send)
