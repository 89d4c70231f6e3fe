"""The second driver: the loop accepts, reads and writes; native protocols parse and answer.

For loops that can watch no descriptor. Each connection costs a transport, but runs through the same
native code as with the first driver.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import contextvars

    from ferricorn._native import Server as NativeServer
    from ferricorn.endpoint import Endpoint


class ProtocolDriver:
    """Lets the loop make a native protocol for each connection."""

    poll = False

    def __init__(
        self,
        native: NativeServer,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> None:
        self._native = native
        self._loop = loop
        self._context = context
        self.servers: list[asyncio.Server] = []

    async def start(self, endpoint: Endpoint) -> None:
        """Serve what connects to the endpoint.

        Connections inherit the context of the task that made their server.
        """
        for sock in endpoint.sockets:
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                # Connections inherit it; asyncio sets it only where it made the socket itself.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            server = self._loop.create_server(
                self._native.protocol, sock=sock, backlog=endpoint.backlog
            )
            self.servers.append(await self._context.run(self._loop.create_task, server))

    def leave(self) -> None:
        """Accept no more, and let those who are connected send another request."""
        for server in self.servers:
            server.close()
        self._native.leave()

    def stop(self) -> None:
        """Accept no more and let open connections end."""
        for server in self.servers:
            server.close()
        self._native.stop()

    def close(self) -> None:
        """Cut every connection."""
        self._native.abort()
