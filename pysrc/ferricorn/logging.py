"""What the server says, and how it looks.

Owns the log formats and the two callables through which the native floor logs. Logger names, texts
and the arguments of access records are uvicorn's to the letter, because people filter, parse and
reformat them: an access record's `args` are always `(client_addr, method, path, http_version,
status)`. Where the user gave a format, or wants JSON, the native floor makes the line, and the
record carries it as `access_line`. Formatters work on a copy of the record, so that another handler
sees the original.
"""

from __future__ import annotations

import http
import logging
import os
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, cast
from urllib.parse import quote

from ferricorn.json_lines import JSONFormatter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from configparser import RawConfigParser

    from ferricorn.typing import AccessLog, AccessStream

    _AccessArgs = tuple[str, str, str, str, int]

TRACE_LOG_LEVEL = 5
"""Below DEBUG: each message between server and application."""

LOG_LEVELS: dict[str, int] = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE_LOG_LEVEL,
}

LOGGING_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "ferricorn.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "ferricorn.logging.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
        },
    },
    "handlers": {
        "default": {
            "formatter": "default",
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
        },
        "access": {
            "formatter": "access",
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}

JSON_CONFIG: dict[str, Any] = {
    **LOGGING_CONFIG,
    "formatters": {
        name: {"()": "ferricorn.json_lines.JSONFormatter"} for name in ("default", "access")
    },
}
"""The same with an object of JSON for each record."""

# The codes of ECMA-48 "select graphic rendition", and the names that terminals gave them.
_STYLES = {
    "bold": 1,
    "red": 31,
    "green": 32,
    "yellow": 33,
    "blue": 34,
    "cyan": 36,
    "bright_red": 91,
    "bright_white": 97,
}

_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}

_error_logger = logging.getLogger("uvicorn.error")
_access_logger = logging.getLogger("uvicorn.access")


def paint(text: object, style: str) -> str:
    """Return the text as a terminal shows it in bold or in a colour."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def _is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and stream.isatty()  # A process may be started without streams.


class ColourizedFormatter(logging.Formatter):
    """A formatter that knows `%(levelprefix)s`, and shows `record.color_message` in colour.

    `use_colors=None` colours what goes to a terminal.
    """

    level_name_colors: ClassVar = {
        TRACE_LOG_LEVEL: "blue",
        logging.DEBUG: "cyan",
        logging.INFO: "green",
        logging.WARNING: "yellow",
        logging.ERROR: "red",
        logging.CRITICAL: "bright_red",
    }

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt=fmt, datefmt=datefmt, style=style)
        self.use_colors = self.should_use_colors() if use_colors is None else use_colors

    def color_level_name(self, level_name: str, level_no: int) -> str:
        """Return the level's name in the level's colour."""
        colour = self.level_name_colors.get(level_no)
        return paint(level_name, colour) if colour else level_name

    def should_use_colors(self) -> bool:
        """Say whether the stream behind the formatter is a terminal."""
        return _is_terminal(sys.stdout)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        """Format the record with the fields that this formatter adds."""
        copy = logging.LogRecord.__new__(type(record))
        copy.__dict__.update(record.__dict__)
        self.add_fields(copy)
        return super().formatMessage(copy)

    def add_fields(self, record: logging.LogRecord) -> None:
        """Give the record what the format mentions and `logging` does not know."""
        level, padding = record.levelname, " " * (8 - len(record.levelname))
        if self.use_colors:
            level = self.color_level_name(level, record.levelno)
            if "color_message" in record.__dict__:
                record.msg = record.__dict__["color_message"]
                record.message = record.getMessage()
        record.__dict__["levelprefix"] = f"{level}:{padding}"


class DefaultFormatter(ColourizedFormatter):
    """Formats everything but access lines."""

    def should_use_colors(self) -> bool:
        """Look at standard error, where the default handler writes."""
        return _is_terminal(sys.stderr)


class AccessFormatter(ColourizedFormatter):
    """Formats access lines: knows `client_addr`, `request_line` and `status_code`.

    A line in the format that the user gave is shown as it is.
    """

    status_code_colours: ClassVar = {
        1: "bright_white",
        2: "green",
        3: "yellow",
        4: "red",
        5: "bright_red",
    }

    def get_status_code(self, status_code: int) -> str:
        """Return the status with its reason phrase, in the colour of its class."""
        text = f"{status_code} {_PHRASES.get(status_code, '')}"
        colour = self.status_code_colours.get(status_code // 100)
        return paint(text, colour) if self.use_colors and colour else text

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        """Format the record, unless its line is made."""
        line: str | None = record.__dict__.get("access_line")
        return super().formatMessage(record) if line is None else line

    def add_fields(self, record: logging.LogRecord) -> None:
        """Take the arguments of an access record apart."""
        super().add_fields(record)
        client_addr, method, path, http_version, status = cast("_AccessArgs", record.args)
        request_line = f"{method} {path} HTTP/{http_version}"
        fields = record.__dict__
        fields["client_addr"] = client_addr
        fields["request_line"] = paint(request_line, "bold") if self.use_colors else request_line
        fields["status_code"] = self.get_status_code(status)


def configure_logging(
    log_config: dict[str, Any] | str | os.PathLike[str] | RawConfigParser | IO[Any] | None,
    log_level: str | int | None,
    access_log: bool,
    use_colors: bool | None,
    *,
    json_lines: bool = False,
) -> None:
    """Apply the user's logging configuration, then the level and switches of the command line.

    A path is read by its ending: `.json`, `.yaml` or `.yml`, anything else as an ini file.
    `log_config=None` leaves the loggers' configuration as it is. `json_lines` takes its place.
    """
    logging.addLevelName(TRACE_LOG_LEVEL, "TRACE")

    if isinstance(log_config, os.PathLike):
        log_config = os.fspath(log_config)
    if json_lines:
        _apply(JSON_CONFIG, None)
    elif isinstance(log_config, dict):
        _apply(log_config, use_colors)
    elif isinstance(log_config, str) and log_config.endswith(".json"):
        import json

        with open(log_config) as file:
            _apply(json.load(file), use_colors)
    elif isinstance(log_config, str) and log_config.endswith((".yaml", ".yml")):
        import yaml

        with open(log_config) as file:
            _apply(yaml.safe_load(file), use_colors)
    elif log_config is not None:
        from logging.config import fileConfig

        fileConfig(log_config, disable_existing_loggers=False)

    if log_level is not None:
        level = LOG_LEVELS[log_level.lower()] if isinstance(log_level, str) else log_level
        for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
            logging.getLogger(name).setLevel(level)
    if not access_log:
        _access_logger.handlers = []
        _access_logger.propagate = False


def _apply(settings: dict[str, Any], use_colors: bool | None) -> None:
    from logging.config import dictConfig

    if use_colors is not None:
        formatters = settings.get("formatters", {})
        coloured = {
            name: {**formatters[name], "use_colors": use_colors}
            for name in ("default", "access")
            if name in formatters
        }
        settings = {**settings, "formatters": {**formatters, **coloured}}
    dictConfig(settings)


def access_log() -> AccessLog | None:
    """Return the callable that writes a line for each response, or None if nobody would see it."""
    return _log_access if _access_logger.hasHandlers() else None


class _PlainAccess:
    """The parts of an access line where logging would format it as usual and write it to a stream.

    The native floor does the same at a fraction of the cost, and asks `still()` from time to time.
    Lines that it makes in any case have no parts.
    """

    prefix: bytes = b""
    request: tuple[bytes, bytes] = b"", b""
    statuses: Sequence[bytes] = ()

    def __init__(self, handler: logging.StreamHandler[Any]) -> None:
        self._handler, self._stream, self._formatter = handler, handler.stream, handler.formatter
        self.fd: int = handler.stream.fileno()

    def take_apart(self, formatter: AccessFormatter) -> None:
        """Find the parts of a line as uvicorn's."""
        record = logging.makeLogRecord({"levelname": "INFO", "levelno": logging.INFO})
        record.args = ("", "", "", "", 0)
        formatter.add_fields(record)
        self.prefix = f"{record.levelprefix} ".encode()  # type: ignore[attr-defined]
        before, after = paint(" ", "bold").split(" ") if formatter.use_colors else ("", "")
        self.request = before.encode(), after.encode()
        self.statuses = [formatter.get_status_code(n).encode() for n in range(100, 600)]

    def still(self) -> bool:
        """Say whether a line would go the same way now."""
        handler = self._handler
        return (
            _access_logger.handlers == [handler]
            and handler.stream is self._stream
            and handler.formatter is self._formatter
            and _is_plain(handler)
        )


def _is_plain(handler: logging.Handler) -> bool:
    """Say whether an access line reaches this handler and nothing but its stream."""
    return (
        _access_logger.isEnabledFor(logging.INFO)
        and handler.level <= logging.INFO
        and not (_access_logger.propagate or _access_logger.filters or handler.filters)
        and logging.getLogRecordFactory() is logging.LogRecord
    )


def access_stream(*, made: bool = False) -> AccessStream | None:
    """Return the parts of an access line if logging would only write it to a stream.

    With `made`, the native floor makes lines whole, and formatters only pass them on.
    """
    match _access_logger.handlers:
        case [logging.StreamHandler(formatter=formatter) as handler]:
            usual = LOGGING_CONFIG["formatters"]["access"]["fmt"]
            # A stream of a program's own, such as one that tests put there, has no descriptor.
            with suppress(OSError, ValueError, AttributeError):
                if type(handler) is not logging.StreamHandler or not _is_plain(handler):
                    return None
                if made and type(formatter) in (AccessFormatter, JSONFormatter):
                    return _PlainAccess(handler)
                if type(formatter) is AccessFormatter and formatter._fmt == usual:
                    plain = _PlainAccess(handler)
                    plain.take_apart(formatter)
                    return plain
    return None


def _log_access(scope: dict[str, Any], status: int, line: str | None = None) -> None:
    if not _access_logger.isEnabledFor(logging.INFO):
        return
    try:
        request = client_addr(scope), scope["method"], path_with_query(scope), scope["http_version"]
    except Exception:  # Whatever the application made of its scope: a line that is made is written.
        if line is None:
            raise
        request = "", "", "", ""
    _access_logger.info(
        '%s - "%s %s HTTP/%s" %d',
        *request,
        status,
        extra=None if line is None else {"access_line": line},
    )


def client_addr(scope: dict[str, Any]) -> str:
    """Return `host:port` of the client, or nothing for a Unix socket. Always printable."""
    client = scope.get("client")
    if not client:
        return ""
    host, port = client
    return f"{host if host.isprintable() else ascii(host)}:{port}"


def path_with_query(scope: dict[str, Any]) -> str:
    """Return the decoded path quoted again, and the query. Free of control characters."""
    path = quote(scope["path"])
    query = scope["query_string"]
    return f"{path}?{query.decode('ascii', 'backslashreplace')}" if query else path


def log_error(level: int, text: str, error: BaseException | None) -> None:
    """Write what the native floor has to report on the logger `uvicorn.error`."""
    _error_logger.log(level, text, exc_info=error)
