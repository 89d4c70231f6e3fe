"""The configuration: every option with its default, and what follows from them.

The one place with defaults: command line and `run()` read theirs from here. The first 53 parameters
are uvicorn's, in uvicorn's order, since they may be passed by position; the server's own stand
behind them. Making a `Config` configures logging and reads the environment file, as users rely on;
`load()` imports the application, and is left to the process that runs it.
"""

from __future__ import annotations

import inspect
import logging
import os
import ssl
import sys
from functools import cache
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

from ferricorn.application import STARTUP_FAILURE, find_application, interface_of
from ferricorn.checks import (
    OptionError,
    blamed,
    check,
    check_log_format,
    encode_header,
    worker_count,
)
from ferricorn.endpoint import Endpoint
from ferricorn.importer import ImportFromStringError, import_from_string
from ferricorn.lifespan.mounts import LifespanOfMounts
from ferricorn.lifespan.threads import LifespanOfThreads
from ferricorn.logging import (  # noqa: F401 (uvicorn's users import the levels from here)
    LOG_LEVELS,
    LOGGING_CONFIG,
    TRACE_LOG_LEVEL,
    configure_logging,
)
from ferricorn.middleware.proxy_headers import DEFAULT_HEADERS, TrustedHosts
from ferricorn.patterns import (  # noqa: F401 (so they do the patterns)
    Watched,
    as_list,
    choose_watched,
    resolve_reload_patterns,
)
from ferricorn.sites import Site, parse_mounts
from ferricorn.tls import create_ssl_context  # noqa: F401 (so they do this)
from ferricorn.unsupported import find_unsupported

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Awaitable, Callable, Sequence
    from configparser import RawConfigParser

    from ferricorn.access_format import AccessFormat
    from ferricorn.drivers import DriverType
    from ferricorn.typing import ASGIApplication

HTTPProtocolType = Literal["auto", "h11", "httptools", "zttp"]
WSProtocolType = Literal["auto", "none", "websockets", "websockets-sansio", "wsproto"]
LifespanType = Literal["auto", "on", "off"]
LoopFactoryType = Literal["none", "auto", "asyncio", "uvloop", "zuvloop"]
InterfaceType = Literal["auto", "asgi3", "asgi2", "wsgi"]
LogFormatType = Literal["text", "json"]

# Every name means the native core: uvicorn's names are taken so that its command lines work.
_CORE = "ferricorn._native:Server"
HTTP_PROTOCOLS: dict[str, str] = dict.fromkeys(get_args(HTTPProtocolType), _CORE)
WS_PROTOCOLS: dict[str, str | None] = {
    **dict.fromkeys(get_args(WSProtocolType), _CORE),
    "none": None,
}
INTERFACES: list[InterfaceType] = list(get_args(InterfaceType))
LOG_FORMATS: list[LogFormatType] = list(get_args(LogFormatType))
LIFESPAN: dict[str, str] = {
    "auto": "ferricorn.lifespan.on:LifespanOn",
    "on": "ferricorn.lifespan.on:LifespanOn",
    "off": "ferricorn.lifespan.off:LifespanOff",
}
LOOP_FACTORIES: dict[str, str | None] = {
    "none": None,
    "auto": "ferricorn.loops.auto:auto_loop_factory",
    "asyncio": "ferricorn.loops.asyncio:asyncio_loop_factory",
    "uvloop": "ferricorn.loops.uvloop:uvloop_loop_factory",
    "zuvloop": "ferricorn.loops.zuvloop:zuvloop_loop_factory",
}
SSL_PROTOCOL_VERSION: int = ssl.PROTOCOL_TLS_SERVER

logger = logging.getLogger("uvicorn.error")


class UvicornDeprecationWarning(UserWarning):
    """Imported by those who silence uvicorn's warnings; nothing here warns of itself with it."""


class Config:
    """How to serve one application.

    `app` is the application itself or its name, `"module:attribute"`. Times are seconds; 0 switches
    the timeouts `timeout_keep_alive`, `timeout_request_head` (from the first wait for a request to
    the end of its head), `timeout_request_body` and `timeout_write` (standstill in either
    direction) off. Raises OptionError for a value that is wrong or not supported yet.
    """

    def __init__(
        self,
        app: ASGIApplication | Callable[..., Any] | str,
        host: str = "127.0.0.1",
        port: int = 8000,
        uds: str | None = None,
        fd: int | None = None,
        loop: LoopFactoryType | str = "auto",
        http: type[asyncio.Protocol] | HTTPProtocolType | str = "auto",
        http2: bool = False,
        ws: type[asyncio.Protocol] | WSProtocolType | str = "auto",
        ws_max_size: int = 16 * 1024 * 1024,
        ws_max_queue: int = 32,
        ws_ping_interval: float | None = 20.0,
        ws_ping_timeout: float | None = 20.0,
        ws_per_message_deflate: bool = True,
        lifespan: LifespanType = "auto",
        env_file: str | os.PathLike[str] | None = None,
        log_config: (
            dict[str, Any] | str | os.PathLike[str] | RawConfigParser | IO[Any] | None
        ) = LOGGING_CONFIG,
        log_level: str | int | None = None,
        access_log: bool = True,
        use_colors: bool | None = None,
        interface: InterfaceType = "auto",
        reload: bool = False,
        reload_dirs: list[str] | str | None = None,
        reload_delay: float = 0.25,
        reload_includes: list[str] | str | None = None,
        reload_excludes: list[str] | str | None = None,
        workers: int | Literal["auto"] | None = None,
        proxy_headers: bool = True,
        server_header: bool = True,
        date_header: bool = True,
        forwarded_allow_ips: list[str] | str | None = None,
        root_path: str = "",
        limit_concurrency: int | None = None,
        limit_max_requests: int | None = None,
        limit_max_requests_jitter: int = 0,
        backlog: int = 2048,
        timeout_keep_alive: float = 5,
        timeout_notify: int = 30,
        timeout_graceful_shutdown: float | None = None,
        timeout_worker_healthcheck: float = 5,
        callback_notify: Callable[..., Awaitable[None]] | None = None,
        ssl_keyfile: str | os.PathLike[str] | None = None,
        ssl_certfile: str | os.PathLike[str] | None = None,
        ssl_keyfile_password: str | None = None,
        ssl_version: int = SSL_PROTOCOL_VERSION,
        ssl_cert_reqs: int = ssl.CERT_NONE,
        ssl_ca_certs: str | os.PathLike[str] | None = None,
        ssl_ciphers: str | None = None,
        ssl_context_factory: Callable[..., ssl.SSLContext] | None = None,
        headers: Sequence[tuple[str, str]] | None = None,
        factory: bool = False,
        h11_max_incomplete_event_size: int | None = None,
        reset_contextvars: bool = False,
        timeout_request_head: float = 30.0,
        timeout_request_body: float = 30.0,
        timeout_write: float = 30.0,
        driver: DriverType = "auto",
        forwarded_headers: Sequence[str] | str = DEFAULT_HEADERS,
        bind: Sequence[str] | str | None = None,
        uds_permissions: int | None = None,
        preload: bool = False,
        worker_max_rss: int | None = None,
        worker_lifetime: float | None = None,
        worker_lifetime_jitter: float = 0.0,
        proxy_protocol: bool = False,
        proxy_allow_ips: list[str] | str = "127.0.0.1,::1",
        access_log_format: str | None = None,
        log_format: LogFormatType = "text",
        drain_delay: float = 0.0,
        ws_max_connections: int | None = None,
        ws_close_timeout: float = 10.0,
        ws_send_high_water: int = 64 * 1024,
        ws_deflate_window_bits: int = 15,
        ws_deflate_takeover: bool = False,
        ws_deflate_min_size: int = 128,
        threads: int = 16,
        wsgi_queue: int = 1024,
        wsgi_buffer_size: int = 1024 * 1024,
        wsgi_timeout: float | None = None,
        mounts: Sequence[str | tuple[str, Any]] | str | None = None,
    ) -> None:
        self.app = app
        self.host = host
        self.port = int(port)  # From an environment variable it comes as text.
        self.uds = uds
        self.fd = fd
        self.loop = loop
        self.http = http
        self.http2 = http2
        self.ws = ws
        self.ws_max_size = ws_max_size
        self.ws_max_queue = ws_max_queue
        self.ws_ping_interval = ws_ping_interval
        self.ws_ping_timeout = ws_ping_timeout
        self.ws_per_message_deflate = ws_per_message_deflate
        self.lifespan = lifespan
        self.env_file = env_file
        self.log_config = log_config
        self.log_level = log_level
        self.access_log = access_log
        self.use_colors = use_colors
        self.interface: InterfaceType = interface
        self.reload = reload
        self.reload_delay = reload_delay
        self.proxy_headers = proxy_headers
        self.server_header = server_header
        self.date_header = date_header
        self.root_path = root_path
        self.limit_concurrency = limit_concurrency
        self.limit_max_requests = limit_max_requests
        self.limit_max_requests_jitter = limit_max_requests_jitter
        self.backlog = backlog
        self.timeout_keep_alive = timeout_keep_alive
        self.timeout_notify = timeout_notify
        self.timeout_graceful_shutdown = timeout_graceful_shutdown
        self.timeout_worker_healthcheck = timeout_worker_healthcheck
        self.callback_notify = callback_notify
        self.ssl_keyfile = ssl_keyfile
        self.ssl_certfile = ssl_certfile
        self.ssl_keyfile_password = ssl_keyfile_password
        self.ssl_version = ssl_version
        self.ssl_cert_reqs = ssl_cert_reqs
        self.ssl_ca_certs = ssl_ca_certs
        self.ssl_ciphers = ssl_ciphers
        self.ssl_context_factory = ssl_context_factory
        self.headers = list(headers or [])
        self.factory = factory
        self.h11_max_incomplete_event_size = h11_max_incomplete_event_size
        self.reset_contextvars = reset_contextvars
        self.timeout_request_head = timeout_request_head
        self.timeout_request_body = timeout_request_body
        self.timeout_write = timeout_write
        self.driver: DriverType = driver
        self.forwarded_headers = forwarded_headers
        self.bind = [bind] if isinstance(bind, str) else list(bind or [])
        self.uds_permissions = uds_permissions
        self.preload = preload
        self.worker_max_rss = worker_max_rss
        self.worker_lifetime = worker_lifetime
        self.worker_lifetime_jitter = worker_lifetime_jitter
        self.proxy_protocol = proxy_protocol
        self.proxy_allow_ips = proxy_allow_ips
        self.access_log_format = access_log_format
        self.log_format: LogFormatType = log_format
        self.drain_delay = drain_delay or 0.0
        self.ws_max_connections = ws_max_connections
        self.ws_close_timeout = ws_close_timeout
        self.ws_send_high_water = ws_send_high_water
        self.ws_deflate_window_bits = ws_deflate_window_bits
        self.ws_deflate_takeover = ws_deflate_takeover
        self.ws_deflate_min_size = ws_deflate_min_size
        self.threads = threads
        self.wsgi_queue = wsgi_queue
        self.wsgi_buffer_size = wsgi_buffer_size
        self.wsgi_timeout = wsgi_timeout
        self.mounts = [mounts] if isinstance(mounts, str) else list(mounts or [])

        # Read by uvicorn's users. The protocols are native and have no class.
        self.http_protocol_class: type[asyncio.Protocol] | None = None
        self.ws_protocol_class: type[asyncio.Protocol] | None = None
        self.ssl: ssl.SSLContext | None = None
        self.loaded = False
        check_log_format(self)
        self.configure_logging()
        self._choose_watched(
            as_list(reload_dirs), as_list(reload_includes), as_list(reload_excludes)
        )
        if env_file is not None:
            self._load_env_file(env_file)
        self.workers = worker_count(workers or os.environ.get("WEB_CONCURRENCY") or 1)
        if forwarded_allow_ips is None:
            forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
        self.forwarded_allow_ips = forwarded_allow_ips
        unsupported = find_unsupported(vars(self), defaults())
        if unsupported is not None:
            name, instead = unsupported
            raise OptionError(name, f"not supported yet: {instead}.")
        for name, names in (("http", HTTP_PROTOCOLS), ("ws", WS_PROTOCOLS)):
            if vars(self)[name] not in names:
                raise OptionError(name, "the protocols are native code and no class replaces them.")
        check(self, defaults())
        with blamed("proxy_allow_ips"):
            self.proxy_peers = TrustedHosts(self.proxy_allow_ips).peers()
        with blamed("mounts"):
            self._mounts = parse_mounts(self.mounts)
        self.encoded_headers = [encode_header(name, value) for name, value in self.headers]

    @property
    def server_name(self) -> bytes | None:
        """The value of the `server` header, None if it is off or the user gave another."""
        return b"ferricorn" if self.server_header and not self._gives(b"server") else None

    @property
    def sends_date(self) -> bool:
        """Whether responses have a `date` of the server's; not if the user gave another."""
        return self.date_header and not self._gives(b"date")

    def _gives(self, header: bytes) -> bool:
        return any(name == header for name, _ in self.encoded_headers)

    def configure_logging(self) -> None:
        """Configure the loggers as the options say.

        Raises OptionError for a file that cannot be read or makes no sense.
        """
        try:
            configure_logging(
                self.log_config,
                self.log_level,
                self.access_log,
                self.use_colors,
                json_lines=self.log_format == "json",
            )
        except Exception as error:
            if not isinstance(self.log_config, (str, os.PathLike)):
                raise
            # The reason of what `logging.config` says is in the exception behind it.
            reasons = ": ".join(str(each) for each in (error, error.__cause__) if each is not None)
            problem = f"'{self.log_config}': {' '.join(reasons.split())}"
            raise OptionError("log_config", problem) from error

    def access_format(self) -> AccessFormat | None:
        """Return what access lines look like in this process, None for lines as uvicorn's."""
        if self.access_log_format is None and self.log_format != "json":
            return None
        from ferricorn.access_format import access_format

        return access_format(self.access_log_format, json=self.log_format == "json")

    @staticmethod
    def _load_env_file(path: str | os.PathLike[str]) -> None:
        try:
            from dotenv import load_dotenv
        except ImportError:
            raise OptionError("env_file", "needs the package python-dotenv.") from None
        logger.info("Loading environment from '%s'", path)
        try:
            if os.path.isdir(path):
                raise IsADirectoryError("is a directory")
            load_dotenv(dotenv_path=path)
        except (OSError, ValueError) as error:
            raise OptionError("env_file", f"'{path}': {error}") from error

    @property
    def asgi_version(self) -> Literal["2.0", "3.0"]:
        """The version of ASGI in the scopes."""
        return "2.0" if self.interface == "asgi2" else "3.0"

    @property
    def is_ssl(self) -> bool:
        """Whether connections are encrypted."""
        return bool(self.ssl_keyfile or self.ssl_certfile or self.ssl_context_factory)

    def _choose_watched(
        self, directories: list[str], includes: list[str], excludes: list[str]
    ) -> None:
        watched = Watched([], [], [], [])
        if self.should_reload:
            watched = choose_watched(directories, includes, excludes)
        elif directories or includes or excludes:
            logger.warning(
                "Current configuration will not reload as not all conditions are met, please "
                "refer to documentation."
            )
        self.reload_dirs, self.reload_dirs_excludes = watched.dirs, watched.dirs_excludes
        self.reload_includes, self.reload_excludes = watched.includes, watched.excludes

    @property
    def should_reload(self) -> bool:
        """Whether a change of the source restarts the server."""
        return isinstance(self.app, str) and self.reload

    @property
    def use_subprocess(self) -> bool:
        """Whether the server runs in a child of this process."""
        return self.reload or self.workers > 1 or self.preload or self._recycles

    @property
    def _recycles(self) -> bool:
        limits = (self.worker_max_rss, self.worker_lifetime, self.wsgi_timeout or None)
        return any(limit is not None for limit in limits)

    def load(self) -> None:
        """Import the application, and find out how it is to be called.

        Ends the process with a line in the log if there is no such application.
        """
        self.lifespan_class = import_from_string(LIFESPAN[self.lifespan])
        app = self.load_app()
        interface = interface_of(app) if self.interface == "auto" else self.interface
        self.interface = interface
        self.sites = [self._mount(*mount) for mount in self._mounts]
        self.sites.append(Site(self, "", app, interface))
        self.loaded_app = self.sites[-1].forwarded
        if self.lifespan != "off":
            if self.only_wsgi:
                self.lifespan_class = LifespanOfThreads
            elif self._mounts:
                self.lifespan_class = LifespanOfMounts
        if self.http != "auto":
            logger.info("The native HTTP core serves in the place of '%s'.", self.http)
        if self.ws not in ("auto", "none"):
            logger.info("The native WebSocket core serves in the place of '%s'.", self.ws)
        self.loaded = True

    def _mount(self, path: str, named: Any) -> Site:
        app = find_application(named, factory=False)
        return Site(self, path, app, interface_of(app))

    @property
    def only_wsgi(self) -> bool:
        """Whether no application speaks ASGI."""
        return all(site.environ is not None for site in self.sites)

    @property
    def threads_lead(self) -> bool:
        """Whether threads see to the sockets: nobody needs the loop or asked for a driver."""
        return self.driver == "auto" and self.only_wsgi

    def load_app(self) -> Any:
        """Import the application, or call the factory that makes it."""
        return find_application(self.app, factory=self.factory)

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """Return what makes the event loop, None for the loop of asyncio's policy."""
        if self.loop not in LOOP_FACTORIES:
            try:
                return import_from_string(self.loop)  # type: ignore[no-any-return]
            except ImportFromStringError as error:
                logger.error("Error loading custom loop setup function. %s", error)
                sys.exit(STARTUP_FAILURE)
        try:
            builtin = import_from_string(LOOP_FACTORIES[self.loop])
        except ImportError as error:
            logger.error("Error loading the event loop '%s'. %s", self.loop, error)
            sys.exit(STARTUP_FAILURE)
        return builtin and builtin(use_subprocess=self.use_subprocess)  # type: ignore[no-any-return]

    def setup_event_loop(self) -> None:
        """Refuse: the loop is made by what `get_loop_factory()` returns."""
        raise AttributeError("Config.setup_event_loop() is gone: use Config.get_loop_factory().")

    def bind_socket(self) -> socket.socket:
        """Return the first socket of the endpoint, announced and inheritable.

        For a process that passes it to `Server.run(sockets=[...])`, here or in a child. Ends the
        process with a line in the log if the address cannot be had.
        """
        try:
            endpoint = Endpoint.open(self)
        except OSError as error:
            logger.error(error)
            sys.exit(STARTUP_FAILURE)
        endpoint.announce()
        sock, *others = endpoint.sockets
        for other in others:
            other.close()
        sock.set_inheritable(True)
        return sock


@cache
def defaults() -> dict[str, Any]:
    """Return the default of each option that has one."""
    parameters = inspect.signature(Config).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
