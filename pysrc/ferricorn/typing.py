"""The types of the ASGI specification, and of the two log callables.

Owns names for type checkers: no module of this package imports it at run time. A scope reaches
applications as a plain dictionary that they may add to, so `Scope` and `Message` stay loose.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, TypedDict

if TYPE_CHECKING:
    import asyncio
    import os
    import ssl
    from configparser import RawConfigParser

    from ferricorn.config import (
        HTTPProtocolType,
        InterfaceType,
        LifespanType,
        LogFormatType,
        LoopFactoryType,
        WSProtocolType,
    )
    from ferricorn.drivers import DriverType

Scope = MutableMapping[str, Any]
"""A connection's scope; the application may add keys of its own."""

Message = MutableMapping[str, Any]
"""An event on its way to or from the application."""

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ASGI3Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""The single callable of ASGI 3."""


class ASGI2Application(Protocol):
    """The double callable of ASGI 2: made with the scope, then called with the channels."""

    def __init__(self, scope: Scope) -> None: ...

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Run for the scope that this was made with."""


ASGIApplication = ASGI3Application | type[ASGI2Application]


class AccessLog(Protocol):
    """Called with scope and status at the start of each response, or at its end with the line."""

    def __call__(self, scope: dict[str, Any], status: int, line: str | None = None, /) -> None:
        """Write a line, as uvicorn does if there is none."""


class AccessStream(Protocol):
    """What an access line is made of, where logging would only write it to a stream."""

    fd: int
    prefix: bytes
    request: tuple[bytes, bytes]
    statuses: Sequence[bytes]

    def still(self) -> bool:
        """Say whether logging would still do no more."""


class AccessFormat(Protocol):
    """What a line consists of that is written when its exchange is over."""

    @property
    def segments(self) -> Sequence[bytes | tuple[str, str]]:
        """The line's text and atoms, these with what stands in their braces."""

    @property
    def json(self) -> bool:
        """Whether it is an object of JSON, and the parts are those of its message."""

    @property
    def prefix(self) -> str:
        """What the ids of requests begin with."""


InFlight = tuple[float, str, dict[str, Any] | None, tuple[str, int] | None]
"""Age in seconds, what is going on, the scope of a request, the client where there is none."""

ErrorLog = Callable[[int, str, BaseException | None], None]
"""Called with a level of `logging`, a text, and the exception to show with it."""


class Options(TypedDict, total=False):
    """What `ferricorn.run` takes besides the application: the parameters of `Config`, by name."""

    host: str
    port: int
    uds: str | None
    fd: int | None
    loop: LoopFactoryType | str
    http: type[asyncio.Protocol] | HTTPProtocolType | str
    http2: bool
    ws: type[asyncio.Protocol] | WSProtocolType | str
    ws_max_size: int
    ws_max_queue: int
    ws_ping_interval: float | None
    ws_ping_timeout: float | None
    ws_per_message_deflate: bool
    lifespan: LifespanType
    env_file: str | os.PathLike[str] | None
    log_config: dict[str, Any] | str | os.PathLike[str] | RawConfigParser | IO[Any] | None
    log_level: str | int | None
    access_log: bool
    use_colors: bool | None
    interface: InterfaceType
    reload: bool
    reload_dirs: list[str] | str | None
    reload_delay: float
    reload_includes: list[str] | str | None
    reload_excludes: list[str] | str | None
    workers: int | Literal["auto"] | None
    proxy_headers: bool
    server_header: bool
    date_header: bool
    forwarded_allow_ips: list[str] | str | None
    root_path: str
    limit_concurrency: int | None
    limit_max_requests: int | None
    limit_max_requests_jitter: int
    backlog: int
    timeout_keep_alive: float
    timeout_notify: int
    timeout_graceful_shutdown: float | None
    timeout_worker_healthcheck: float
    callback_notify: Callable[..., Awaitable[None]] | None
    ssl_keyfile: str | os.PathLike[str] | None
    ssl_certfile: str | os.PathLike[str] | None
    ssl_keyfile_password: str | None
    ssl_version: int
    ssl_cert_reqs: int
    ssl_ca_certs: str | os.PathLike[str] | None
    ssl_ciphers: str | None
    ssl_context_factory: Callable[..., ssl.SSLContext] | None
    headers: Sequence[tuple[str, str]] | None
    factory: bool
    h11_max_incomplete_event_size: int | None
    reset_contextvars: bool
    timeout_request_head: float
    timeout_request_body: float
    timeout_write: float
    driver: DriverType
    forwarded_headers: Sequence[str] | str
    bind: Sequence[str] | str | None
    uds_permissions: int | None
    preload: bool
    worker_max_rss: int | None
    worker_lifetime: float | None
    worker_lifetime_jitter: float
    proxy_protocol: bool
    proxy_allow_ips: list[str] | str
    access_log_format: str | None
    log_format: LogFormatType
    drain_delay: float
    ws_max_connections: int | None
    ws_close_timeout: float
    ws_send_high_water: int
    ws_deflate_window_bits: int
    ws_deflate_takeover: bool
    ws_deflate_min_size: int
    threads: int
    wsgi_queue: int
    wsgi_buffer_size: int
    wsgi_timeout: float | None
    mounts: Sequence[str | tuple[str, Any]] | str | None
