"""Addresses and paths, from a transport or a scope, as uvicorn's users import them.

The server itself needs none of the functions that read a transport: where it has one, the native
floor reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferricorn.logging import client_addr, path_with_query

if TYPE_CHECKING:
    import asyncio


class ClientDisconnected(OSError):
    """The client is gone, so that nothing can be sent to it."""


def get_remote_addr(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Return the peer's address and port, None if it has none (a Unix socket)."""
    host, port = _address(transport, "peername")
    return None if host is None or port is None else (host, port)


def get_local_addr(transport: asyncio.BaseTransport) -> tuple[str, int | None] | None:
    """Return the address and port of this end, or the path of a Unix socket and None."""
    host, port = _address(transport, "sockname")
    return None if host is None else (host, port)


def _address(transport: asyncio.BaseTransport, which: str) -> tuple[str | None, int | None]:
    """Ask the socket, which knows best, or the transport where it shows no socket."""
    sock = transport.get_extra_info("socket")
    try:
        found = getattr(sock, f"get{which}")() if sock else transport.get_extra_info(which)
    except OSError:  # The connection is gone already.
        return None, None
    if isinstance(found, str):
        return found, None
    if isinstance(found, (tuple, list)) and len(found) >= 2:
        return str(found[0]), int(found[1])
    return None, None


def is_ssl(transport: asyncio.BaseTransport) -> bool:
    """Say whether the connection is encrypted."""
    return bool(transport.get_extra_info("sslcontext"))


def get_client_addr(scope: dict[str, Any]) -> str:
    """Return `host:port` of the client, or nothing where there is none."""
    return client_addr(scope)


def get_path_with_query_string(scope: dict[str, Any]) -> str:
    """Return the path, quoted again, with the query."""
    return path_with_query(scope)
