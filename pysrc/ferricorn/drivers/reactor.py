"""The first driver: the loop watches one descriptor, and the native reactor does the rest.

The loop sees no socket and no connection. The reader is registered in the context that requests
shall start from, since a callback of the loop runs in the context that registered it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import contextvars
    import socket

    from ferricorn._native import Server as NativeServer
    from ferricorn.endpoint import Endpoint


class Listener:
    """A socket that the native reactor accepts on; looks like the `asyncio.Server` that it spares.

    Users read the bound address from `sockets`.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sockets = (sock,)


class ReactorDriver:
    """Lets the loop call `turn` whenever the native server has something to do."""

    poll = True

    def __init__(
        self,
        native: NativeServer,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> None:
        self._native = native
        self._loop = loop
        self._context = context
        self.servers: list[Listener] = []

    async def start(self, endpoint: Endpoint) -> None:
        """Serve what connects to the endpoint."""
        self.listen(endpoint)
        self._context.run(self._loop.add_reader, self._native.fileno(), self._native.turn)

    def listen(self, endpoint: Endpoint) -> None:
        """Have the native server accept on the endpoint's sockets."""
        for sock in endpoint.sockets:
            self._context.run(self._native.listen, sock.fileno())
            self.servers.append(Listener(sock))

    def leave(self) -> None:
        """Accept no more, and let those who are connected send another request."""
        self._native.leave()

    def stop(self) -> None:
        """Accept no more and let open connections end."""
        self._native.stop()

    def close(self) -> None:
        """Cut every connection."""
        self._loop.remove_reader(self._native.fileno())
        self._native.abort()
