"""Addresses of transports and scopes."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

from ferricorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)


class Bare(asyncio.Transport):
    """A transport that shows no socket."""

    def __init__(self, **extra: Any) -> None:
        super().__init__(extra)


async def addresses(listener: socket.socket, client: socket.socket) -> Any:
    """Return what the two functions say on the server's side of a connection."""
    loop = asyncio.get_running_loop()
    found = loop.create_future()

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert not is_ssl(transport)
            found.set_result((get_local_addr(transport), get_remote_addr(transport)))
            # From Python 3.12 on the server's end waits for its connections.
            transport.close()

    client.setblocking(False)
    unix = listener.family == socket.AF_UNIX
    serve: Any = loop.create_unix_server if unix else loop.create_server
    async with await serve(Noting, sock=listener):
        await loop.sock_connect(client, listener.getsockname())
        return await found


def test_a_tcp_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        port = listener.getsockname()[1]
        local, remote = asyncio.run(addresses(listener, client))
        assert (local, remote) == (("127.0.0.1", port), client.getsockname())


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        assert asyncio.run(addresses(listener, client)) == ((path, None), None)


def test_a_transport_without_a_socket() -> None:
    transport = Bare(sockname=["::1", 80, 0, 0], peername=("::2", 90, 0, 0), sslcontext=object())
    assert get_local_addr(transport) == ("::1", 80)
    assert get_remote_addr(transport) == ("::2", 90)
    assert is_ssl(transport)
    assert (get_local_addr(Bare()), get_remote_addr(Bare())) == (None, None)


def test_scopes() -> None:
    scope = {"client": ("1.2.3.4", 5), "path": "/a b", "query_string": b"c=d"}
    assert get_client_addr(scope) == "1.2.3.4:5"
    assert get_client_addr({"client": None}) == ""
    assert get_path_with_query_string(scope) == "/a%20b?c=d"


def test_a_client_that_is_gone_is_an_error_of_the_system() -> None:
    assert issubclass(ClientDisconnected, OSError)
