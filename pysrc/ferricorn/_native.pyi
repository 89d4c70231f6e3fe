"""The native floor as Python sees it: one `Server` for each event loop.

Everything here runs on the loop's own thread, but for what WSGI threads run. The native module
never imports this package: what it needs from it (the application, the loggers, the settings) comes
in as arguments.
"""

import asyncio
import mmap
from collections.abc import Sequence
from typing import Any, final

from ferricorn.drivers.threads import Threads
from ferricorn.sites import Site
from ferricorn.typing import (
    AccessFormat,
    AccessLog,
    AccessStream,
    ErrorLog,
    InFlight,
)
from ferricorn.websocket import WebSockets

__all__ = ["FileWrapper", "Server"]

@final
class FileWrapper:
    """`wsgi.file_wrapper` of PEP 3333: what a WSGI application returns to have a file sent."""

    def __new__(cls, file: Any, block_size: int = 65536) -> FileWrapper: ...
    def __iter__(self) -> FileWrapper: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

@final
class Server:
    """All connections of one event loop, and the application's exchanges on them."""

    def __new__(
        cls,
        sites: Sequence[Site],
        loop: asyncio.AbstractEventLoop,
        *,
        root_path: str = ...,
        server_header: bytes | None = ...,
        date_header: bool = True,
        headers: list[tuple[bytes, bytes]] = ...,
        access_log: AccessLog | None = None,
        access_stream: AccessStream | None = None,
        access_format: AccessFormat | None = None,
        error_log: ErrorLog,
        websocket: WebSockets | None = None,
        limit_concurrency: int | None = None,
        timeout_keep_alive: float = 5.0,
        timeout_request_head: float = 30.0,
        timeout_request_body: float = 30.0,
        timeout_write: float = 30.0,
        proxy_peers: list[str] | None = None,
        poll: bool = True,
        drain: object | None = None,
        board: tuple[mmap.mmap, int] | None = None,
        wsgi: Threads | None = None,
    ) -> Server:
        """Make an engine. Timeouts are seconds, 0 switches one off.

        The last of the `sites` has an empty path, and takes what none before it does. `access_log`
        is called for each response, unless `access_stream` says how to write its line without. With
        an `access_format` that is done when the exchange is over, and requests get an id in a
        header `x-request-id` if lines show one.
        Where there are `proxy_peers` (networks, `unix`, `*`), connections begin with a PROXY
        header, and those of others are closed.
        `poll=False` makes no poller: then only `protocol()` feeds this server, and `listen`,
        `fileno` and `turn` are of no use. `drain` is the event that scopes show as the extension
        `ferricorn.drain`. `board` is memory that all who accept on the same sockets share, and
        this server's place in it: each accepts its share of connections. `wsgi` is for sites that
        speak WSGI, which threads run.
        """

    def listen(self, fd: int) -> None:
        """Accept on a bound and listening stream socket. The descriptor is duplicated."""

    def fileno(self) -> int:
        """Return the one descriptor that the event loop watches for reading."""

    def turn(self) -> None:
        """Serve what is ready: what the loop calls when `fileno()` is readable. Never raises."""

    def begin(self) -> None:
        """Have threads begin to see to the sockets."""

    def dismiss(self) -> tuple[int, int]:
        """Have threads end when they have run what they run.

        Returns how many are left, and how many of these are in the application.
        """

    def give_up(self) -> tuple[list[tuple[int, float, dict[str, Any] | None]], int]:
        """Give up requests that a WSGI application has run for too long.

        Returns for each its thread's ident, its seconds and its environ, and how many threads are
        stuck in all.
        """

    def _work(self) -> None: ...
    def _keep(self) -> None: ...
    def protocol(self) -> asyncio.Protocol:
        """Make a protocol for a connection that the event loop accepted (the second driver)."""

    def announce_stop(self) -> None:
        """Close each connection with its next response, and go on accepting."""

    def leave(self) -> None:
        """Accept what waits, and no more; close each connection with its next response."""

    def stop(self) -> None:
        """End gracefully: serve the backlog, accept no more, close what is idle.

        A busy connection answers its request with `connection: close`. An application that sends
        a stream of events (`text/event-stream`) is told `http.disconnect`.
        """

    def abort(self) -> None:
        """Cut every connection, cancel every task and close the poller.

        The descriptor must have been taken off the loop before.
        """

    def close_log(self) -> None:
        """Write the last lines of the access log, and no more. Waits a second at most."""

    def close_sockets(self, count: int) -> None:
        """Close so many WebSockets with 1012, because the server will end."""

    @property
    def sockets(self) -> int:
        """The WebSockets open now."""

    @property
    def connections(self) -> int:
        """The connections open now."""

    @property
    def tasks(self) -> int:
        """Exchanges whose application still runs."""

    @property
    def requests(self) -> int:
        """Requests seen since the start."""

    def inflight(self) -> list[InFlight]:
        """Return what is under way: runs of the application, connections that wait for a peer."""

    def counters(self) -> dict[str, int]:
        """Return totals since the start: accepted, bytes_in, bytes_out, refusals by reason.

        `headers_left_out` counts lines that no environ has, for the underscores in their names.
        """
