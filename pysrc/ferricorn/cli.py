"""The command `ferricorn`: a table of options, and what passes them on.

A row is a flag, a type and a help text; default and environment variable follow from the parameter
of `Config` with that name, so that nothing is said twice. Variables are `FERRICORN_<PARAMETER>`;
where that is unset, `UVICORN_<PARAMETER>` counts, for those who come from there. Options that are
not supported yet are understood, so that they can be refused with a reason, and not shown.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from ferricorn import __version__
from ferricorn.application import STARTUP_FAILURE
from ferricorn.checks import OptionError
from ferricorn.config import (
    HTTP_PROTOCOLS,
    INTERFACES,
    LIFESPAN,
    LOG_FORMATS,
    LOOP_FACTORIES,
    WS_PROTOCOLS,
    Config,
    defaults,
)
from ferricorn.drivers import DRIVERS
from ferricorn.logging import LOG_LEVELS
from ferricorn.middleware.proxy_headers import FORWARDED_HEADERS
from ferricorn.unsupported import INSTEAD

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger("uvicorn.error")

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


class _Count(click.types.IntParamType):
    """A number, or as many as there are processors."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value == "auto" else super().convert(value, param, ctx)


class _Permissions(click.types.StringParamType):
    """The mode of a file, in octal digits; a number of TOML is one already."""

    name = "octal"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return value if isinstance(value, int) else int(value, 8)
        except (TypeError, ValueError):  # A fraction of TOML's is no text.
            self.fail(f"{value!r} is not an octal number.", param, ctx)


def _read_file(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    """Let a file stand in for flags and variables that are not given."""
    if not ctx.resilient_parsing:
        from ferricorn.settings import default_map

        ctx.default_map, ctx.meta[_FILE_READ] = default_map(ctx.command.params, path)


PARAMETERS: list[click.Parameter] = [
    click.Argument(["app"], envvar=_variables("app")),
    click.Option(
        ["--config"],
        type=_FILE,
        expose_value=False,
        is_eager=True,
        callback=_read_file,
        envvar="FERRICORN_CONFIG",
        help="Options from a TOML file. Defaults to the table [tool.ferricorn] of "
        "./pyproject.toml. Flags and variables come before it.",
    ),
    click.Option(
        ["--check-config"],
        is_flag=True,
        help="Load configuration and application and exit: with status 0, or 3 if it failed.",
    ),
    click.Option(
        ["--explain"],
        is_flag=True,
        help="Show the value of each option and where it comes from, and exit.",
    ),
    _option(
        "--bind",
        "Address to listen on: host:port, [ipv6]:port, unix:path or fd://number. Can be given "
        "several times, and takes the place of host, port, uds and fd.",
        multiple=True,
    ),
    _option(
        "--uds-permissions",
        "Permissions of UNIX domain sockets, such as 660. [default: 666, or as they were]",
        _Permissions(),
    ),
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
        "Number of worker processes, 'auto' for one for each processor that may be used. Defaults "
        "to the $WEB_CONCURRENCY environment variable if available, or 1.",
        _Count(),
    ),
    _switch("--preload", "Import the application once, before the workers are forked."),
    _option("--worker-max-rss", "Replace a worker that uses more MiB of memory than this.", int),
    _option("--worker-lifetime", "Replace a worker that is this many seconds old.", float),
    _option(
        "--worker-lifetime-jitter",
        "Maximum of random seconds to add to worker_lifetime, for each worker.",
        float,
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
        "WebSocket protocol implementation. All names but none mean the native one.",
        metavar=_one_of(WS_PROTOCOLS),
    ),
    _option("--ws-max-size", "Maximum size of a WebSocket message in bytes.", int),
    _option(
        "--ws-max-queue",
        "Maximum length of the WebSocket message queue: messages that wait for the application.",
        int,
    ),
    _option("--ws-max-connections", "Maximum number of WebSockets; 503 for more.", int),
    _option("--ws-ping-interval", "Seconds between WebSocket pings. 0 for none.", float),
    _option("--ws-ping-timeout", "Seconds to wait for a WebSocket pong. 0 for no limit.", float),
    _option(
        "--ws-close-timeout",
        "Seconds to wait for the answer to a close frame. 0 for no limit.",
        float,
    ),
    _option("--ws-send-high-water", "Bytes for a slow client at which send() waits.", int),
    _option("--ws-per-message-deflate", "Compress WebSocket messages.", bool),
    _option("--ws-deflate-window-bits", "Size of the compression window, 9 to 15.", int),
    _switch(
        "--ws-deflate-takeover/--no-ws-deflate-takeover",
        "Let compression refer to earlier messages: smaller messages, and up to some hundred KiB "
        "of memory for each connection.",
    ),
    _option("--ws-deflate-min-size", "Bytes from which on a message is compressed.", int),
    _option("--threads", "Threads that run a WSGI application.", int),
    _option("--wsgi-queue", "Requests that may wait for a thread; 503 for more.", int),
    _option(
        "--wsgi-buffer-size",
        "Bytes of a request's body that are kept in memory; the rest goes to a temporary file.",
        int,
    ),
    _option(
        "--wsgi-timeout",
        "Seconds that a WSGI application may run for one request: then the stack of its thread is "
        "logged and the client gets 504. A process with half of its threads lost is replaced.",
        float,
    ),
    _option(
        "--mount",
        "Serve another application, ASGI or WSGI, below a path: /path=module:attribute. Can be "
        "given several times; the longest path wins, and APP serves the rest.",
        name="mounts",
        multiple=True,
    ),
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
    _option(
        "--access-log-format",
        "Access lines in this format, at the end of each request: 'common', 'combined', or text "
        "with gunicorn's atoms, such as %(h)s, %(s)s, %(L)s and %({user-agent}i)s, and "
        "%(request_id)s and %(peer)s.",
    ),
    _option("--log-format", "Log lines as text or as JSON.", click.Choice(LOG_FORMATS)),
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
    _switch(
        "--proxy-protocol",
        "Expect each connection to begin with a header of the PROXY protocol, version 1 or 2, and "
        "take the client's address from it. Proxy headers count if that client is trusted with "
        "them.",
    ),
    _option(
        "--proxy-allow-ips",
        "Comma separated list of addresses and networks to take connections from with "
        "--proxy-protocol; 'unix' is a peer on a Unix socket, '*' is everything.",
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
    _option(
        "--drain-delay",
        "Seconds to go on serving when asked to end, before --timeout-graceful-shutdown counts: "
        "scope['extensions']['ferricorn.drain'] (WSGI: environ['ferricorn.drain']) says so, and "
        "responses close their connections.",
        float,
    ),
    _option(
        "--timeout-worker-healthcheck",
        "Seconds that the event loop of a worker may stand still. 0 for no limit.",
        float,
    ),
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
        "Run each request in a fresh contextvars.Context. Hides context set in the lifespan.",
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


# Where an option stands in the help: the first pattern that its name matches.
_THEMES = {
    "Application": "app_dir|factory|interface|lifespan|root_path|mounts|reset_contextvars|env_file",
    "Address": "bind|uds_permissions|host|port|uds|fd|backlog",
    "Processes": "workers|worker_.*|preload|timeout_worker_.*|limit_max_.*",
    "Reload": "reload.*",
    "Limits": "limit_.*|timeout_.*|h11_.*|drain_.*",
    "Responses": "headers|server_header|date_header",
    "Proxies": "proxy_.*|forwarded_.*",
    "TLS": "ssl_.*",
    "WSGI": "threads|wsgi_.*",
    "WebSocket": "ws_.*|ws",
    "Logging": "log_.*|access_log.*|use_colors",
    "Machinery": "loop|http|http2|driver",
    "This command": ".*",
}

_FILE_READ = f"{__name__}.file"


class _Command(click.Command):
    """Shows options by theme, and says of a wrong value where it stands."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        themes: dict[str, list[tuple[str, str]]] = {theme: [] for theme in _THEMES}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                name = parameter.name or ""
                theme = next(t for t, names in _THEMES.items() if re.fullmatch(names, name))
                themes[theme].append(record)
        for theme, records in themes.items():
            if records:
                with formatter.section(theme):
                    formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            if error.param is not None and not isinstance(error, click.MissingParameter):
                text = error.message + _whence(ctx, error.param)
                raise click.BadParameter(text, ctx, error.param) from None
            raise


def _whence(ctx: click.Context, parameter: click.Parameter) -> str:
    from ferricorn.explain import source

    where = source(ctx, parameter, ctx.meta.get(_FILE_READ))
    return "" if where in ("command line", "default") else f" (From {where}.)"


def _fill_standard_streams() -> None:
    """Open those that this process was started without: sockets would get their descriptors."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _main(app: str, check_config: bool, explain: bool, **options: Any) -> None:
    _fill_standard_streams()
    if options["log_config"] is None:
        del options["log_config"]
    for name in ("reload_dirs", "reload_includes", "reload_excludes", "bind", "mounts"):
        options[name] = list(options[name]) or None
    context = click.get_current_context()
    try:
        if explain:
            from ferricorn.explain import explain as table

            config = _config(app, **options)
            click.echo(table(context, config, context.meta.get(_FILE_READ)))
        elif check_config:
            _check(_config(app, **options))
        else:
            from ferricorn.runner import run

            run(app, **options)
    except OptionError as error:
        parameter = next(p for p in PARAMETERS if p.name == error.name)
        problem = error.problem + _whence(context, parameter)
        raise click.BadParameter(problem, param=parameter) from None


def _config(app: str, app_dir: str, **options: Any) -> Config:
    sys.path.insert(0, app_dir)
    return Config(app, **options)


def _check(config: Config) -> None:
    """Load what the server would load. Ends the process with a line in the log if that fails."""
    config.get_loop_factory()
    try:
        config.load()
    except Exception as error:  # An application's own, of any kind.
        logger.error("Error loading ASGI app.", exc_info=error)
        sys.exit(STARTUP_FAILURE)
    click.echo("The configuration is valid, and the application can be loaded.")


main = _Command("ferricorn", params=PARAMETERS, callback=_main)
