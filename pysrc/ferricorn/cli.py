"""The command `ferricorn`: a table of options, and what passes them on.

A row is a flag, a type and a help text; default and environment variable follow from the parameter
of `Config` with that name, so that nothing is said twice. Variables are `FERRICORN_<PARAMETER>`;
where that is unset, `UVICORN_<PARAMETER>` counts, for those who come from there. Options that are
not supported yet are understood, so that they can be refused with a reason, and not shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ferricorn import __version__
from ferricorn.config import (
    HTTP_PROTOCOLS,
    INTERFACES,
    LIFESPAN,
    LOOP_FACTORIES,
    OptionError,
    defaults,
)
from ferricorn.drivers import DRIVERS
from ferricorn.logging import LOG_LEVELS
from ferricorn.middleware.proxy_headers import FORWARDED_HEADERS
from ferricorn.unsupported import INSTEAD

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE = click.Path(exists=True)


def _variables(name: str) -> list[str]:
    return [f"{product}_{name.upper()}" for product in ("FERRICORN", "UVICORN")]


def _option(flag: str, help: str, type: Any = str, **settings: Any) -> click.Option:
    """Make the option for a parameter of `Config`, whose name is in `flag` or in `name`."""
    name = settings.pop("name", flag.partition("/")[0].removeprefix("--").replace("-", "_"))
    if "default" not in settings and not settings.get("multiple"):
        settings["default"] = defaults()[name]
    switch = settings.get("is_flag", False)
    return click.Option(
        [flag, name],
        help=help,
        type=None if switch else type,
        show_default=not switch,
        envvar=_variables(name),
        hidden=name in INSTEAD,
        **settings,
    )


def _switch(flag: str, help: str) -> click.Option:
    return _option(flag, help, is_flag=True)


def _one_of(names: Iterable[str]) -> str:
    """Show names where more than these are possible, and `Config` judges what was given."""
    return f"[{'|'.join(names)}]"


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        import platform

        python = f"{platform.python_implementation()} {platform.python_version()}"
        click.echo(f"Running ferricorn {__version__} with {python} on {platform.system()}")
        ctx.exit()


def _split_headers(
    _ctx: click.Context, _: click.Parameter, headers: tuple[str, ...]
) -> list[tuple[str, str]]:
    pairs = [header.partition(":") for header in headers]
    for name, colon, _value in pairs:
        if not colon:
            raise click.BadParameter(f"{name!r} is not a Name:Value pair.")
    return [(name, value) for name, _colon, value in pairs]


PARAMETERS: list[click.Parameter] = [
    click.Argument(["app"], envvar=_variables("app")),
    _option("--host", "Bind socket to this host."),
    _option("--port", "Bind socket to this port. If 0, an available port will be picked.", int),
    _option("--uds", "Bind to a UNIX domain socket."),
    _option("--fd", "Bind to socket from this file descriptor.", int),
    _switch("--reload", "Enable auto-reload."),
    _option("--reload-dir", "Directory to watch.", _FILE, name="reload_dirs", multiple=True),
    _option("--reload-include", "Files to watch.", name="reload_includes", multiple=True),
    _option("--reload-exclude", "Files to ignore.", name="reload_excludes", multiple=True),
    _option("--reload-delay", "Seconds between two looks at the files.", float),
    _option(
        "--workers",
        "Number of worker processes. Defaults to the $WEB_CONCURRENCY environment variable if "
        "available, or 1. More than one is not supported yet.",
        int,
    ),
    _option("--loop", "Event loop implementation.", metavar=_one_of(LOOP_FACTORIES)),
    _option(
        "--http",
        "HTTP protocol implementation. All names mean the native one.",
        metavar=_one_of(HTTP_PROTOCOLS),
    ),
    _switch("--http2", "Enable HTTP/2 support."),
    _option(
        "--ws",
        "WebSocket protocol implementation. None is supported yet.",
        metavar=_one_of(["auto", "none"]),
    ),
    _option("--ws-max-size", "Maximum size of a WebSocket message in bytes.", int),
    _option("--ws-max-queue", "Maximum length of the WebSocket message queue.", int),
    _option("--ws-ping-interval", "Seconds between WebSocket pings.", float),
    _option("--ws-ping-timeout", "Seconds to wait for a WebSocket pong.", float),
    _option("--ws-per-message-deflate", "Compress WebSocket messages.", bool),
    _option("--lifespan", "Lifespan implementation.", click.Choice(list(LIFESPAN))),
    _option("--interface", "Application interface.", click.Choice(INTERFACES)),
    _option("--env-file", "Environment configuration file.", _FILE),
    _option(
        "--log-config",
        "Logging configuration file. Supported formats: .ini, .json, .yaml.",
        _FILE,
        default=None,
    ),
    _option("--log-level", "Log level.  [default: info]", click.Choice(list(LOG_LEVELS))),
    _switch("--access-log/--no-access-log", "Enable/Disable access log."),
    _switch("--use-colors/--no-use-colors", "Enable/Disable colorized logging."),
    _switch(
        "--proxy-headers/--no-proxy-headers",
        "Enable/Disable X-Forwarded-Proto, X-Forwarded-For to populate url scheme and remote "
        "address info.",
    ),
    _switch("--server-header/--no-server-header", "Enable/Disable default Server header."),
    _switch("--date-header/--no-date-header", "Enable/Disable default Date header."),
    _option(
        "--forwarded-allow-ips",
        "Comma separated list of addresses, networks and literals to trust with proxy headers; "
        "'unix' is a peer on a Unix socket, '*' is everything. Defaults to the "
        "$FORWARDED_ALLOW_IPS environment variable if available, or '127.0.0.1,::1'.",
    ),
    _option(
        "--forwarded-headers",
        "Comma separated list of the proxy headers to use: those that your proxy sets, of "
        f"{', '.join(FORWARDED_HEADERS)}.",
    ),
    _option(
        "--root-path",
        "Set the ASGI 'root_path' for applications submounted below a given URL path.",
    ),
    _option(
        "--limit-concurrency",
        "Maximum number of concurrent connections or tasks to allow, before issuing HTTP 503 "
        "responses.",
        int,
    ),
    _option("--backlog", "Maximum number of connections to hold in backlog.", int),
    _option(
        "--limit-max-requests",
        "Maximum number of requests to service before terminating the process.",
        int,
    ),
    _option(
        "--limit-max-requests-jitter",
        "Maximum jitter to add to limit_max_requests, so that several processes do not end at "
        "the same time.",
        int,
    ),
    _option(
        "--timeout-keep-alive",
        "Close Keep-Alive connections if no new data is received within this timeout (in seconds).",
        float,
    ),
    _option(
        "--timeout-request-head",
        "Seconds that a client may take for the head of a request. 0 for no limit.",
        float,
    ),
    _option(
        "--timeout-request-body",
        "Seconds that the body of a request may stand still. 0 for no limit.",
        float,
    ),
    _option(
        "--timeout-write",
        "Seconds that a client may take no byte of its response. 0 for no limit.",
        float,
    ),
    _option(
        "--timeout-graceful-shutdown",
        "Maximum number of seconds to wait for graceful shutdown.",
        float,
    ),
    _option("--timeout-worker-healthcheck", "Seconds to wait for a worker.", float),
    _option("--ssl-keyfile", "SSL key file."),
    _option("--ssl-certfile", "SSL certificate file."),
    _option("--ssl-keyfile-password", "SSL keyfile password."),
    _option("--ssl-version", "SSL version to use.", int),
    _option("--ssl-cert-reqs", "Whether client certificate is required.", int),
    _option("--ssl-ca-certs", "CA certificates file."),
    _option("--ssl-ciphers", "Ciphers to use."),
    _option(
        "--header",
        "Specify custom default HTTP response headers as a Name:Value pair.",
        name="headers",
        multiple=True,
        callback=_split_headers,
    ),
    click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_print_version,
        help="Display the ferricorn version and exit.",
    ),
    _option(
        "--app-dir",
        "Look for APP in the specified directory, by adding this to the PYTHONPATH. Defaults to "
        "the current working directory.",
        default="",
    ),
    _option("--h11-max-incomplete-event-size", "Maximum size of a request's head.", int),
    _switch(
        "--reset-contextvars",
        "Run each ASGI request in a fresh contextvars.Context. Hides context set in the lifespan.",
    ),
    _switch(
        "--factory",
        "Treat APP as an application factory, i.e. a () -> <ASGI app> callable.",
    ),
    _option(
        "--driver",
        "How the event loop drives the native server.",
        click.Choice(DRIVERS),
    ),
]


def _main(app: str, **options: Any) -> None:
    if options["log_config"] is None:
        del options["log_config"]
    for name in ("reload_dirs", "reload_includes", "reload_excludes"):
        options[name] = list(options[name]) or None

    from ferricorn.runner import run

    try:
        run(app, **options)
    except OptionError as error:
        parameter = next(p for p in PARAMETERS if p.name == error.name)
        raise click.BadParameter(error.problem, param=parameter) from None


main = click.Command("ferricorn", params=PARAMETERS, callback=_main)
