"""The applications of a server: one, or several that are mounted at paths.

Owns what there is to know of each: how it is called, what its scopes or environs say. A mount
takes the requests whose paths begin with its own, by whole segments; the longest wins, and the
application that the server was started with takes the rest.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ferricorn.interface import as_asgi3
from ferricorn.logging import TRACE_LOG_LEVEL
from ferricorn.middleware.message_logger import MessageLoggerMiddleware
from ferricorn.middleware.proxy_headers import BehindProxies, ProxyReports, TrustedHosts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ferricorn.config import Config
    from ferricorn.interface import Interface
    from ferricorn.typing import Scope


class Mount(NamedTuple):
    """An application, or its name, at a path that begins with a slash and does not end with one."""

    path: str
    app: Any


def parse_mounts(given: Sequence[str | tuple[str, Any]]) -> list[Mount]:
    """Return the mounts that texts `"PATH=module:attribute"`, or pairs, describe; longest first.

    Raises ValueError for a path that is none, or that is given twice.
    """
    mounts: dict[str, Mount] = {}
    for each in given:
        path, app = each.partition("=")[::2] if isinstance(each, str) else each
        if not app:
            raise ValueError(f"{each!r} is not in the format PATH=module:attribute.")
        shortened = path.rstrip("/")
        segments = shortened.split("/")
        if segments[0] or len(segments) < 2 or {"", ".", ".."} & {*segments[1:]}:
            raise ValueError(f"{path!r} is no path below '/'.")
        if {"%", "?", "#"} & {*shortened}:
            raise ValueError(f"{path!r} is compared with decoded paths: write it without escapes.")
        shortened.encode()  # Raises it for what is no UTF-8 in the command line.
        if shortened in mounts:
            raise ValueError(f"{path!r} is given twice.")
        mounts[shortened] = Mount(shortened, app)
    return sorted(mounts.values(), key=lambda mount: len(mount.path), reverse=True)


class Site:
    """An application that is loaded: what the native floor has to know of it.

    `application` is called for requests that no proxy has forwarded, `forwarded` for the others.
    `environ` is what the environ of every request says, in the order that environs have, but for
    the native file wrapper; None for ASGI. `report` has a scope say what trusted proxies report,
    for WSGI. `state` is that of the application's lifespan.
    """

    def __init__(self, config: Config, path: str, app: Any, interface: Interface) -> None:
        self.path = path
        self.interface = interface
        self.asgi_version: Literal["2.0", "3.0"] = "2.0" if interface == "asgi2" else "3.0"
        self.application = self.forwarded = app
        self.state: dict[str, Any] = {}
        self.environ: dict[str, Any] | None = None
        self.report: Callable[[Scope], None] | None = None
        trusted = TrustedHosts(config.forwarded_allow_ips)
        if interface == "wsgi":
            self.environ = _template(config, path)
            if config.proxy_headers:
                self.report = ProxyReports(trusted, config.forwarded_headers).report
            return
        self.application = self.forwarded = as_asgi3(app, interface)
        if logging.getLogger("uvicorn.asgi").getEffectiveLevel() <= TRACE_LOG_LEVEL:
            self.application = self.forwarded = MessageLoggerMiddleware(self.application)
        if config.proxy_headers:
            self.forwarded = BehindProxies(self.application, trusted, config.forwarded_headers)


def _template(config: Config, path: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": (config.root_path + path).encode().decode("latin-1"),
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "RAW_URI": "",
        "REQUEST_URI": "",
        "REMOTE_ADDR": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "ferricorn",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": config.threads > 1,
        "wsgi.multiprocess": config.workers > 1,
        "wsgi.run_once": False,
    }
