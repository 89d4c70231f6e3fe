"""Which values options may have.

Looks at a configuration as it was given, and raises OptionError for the first value that cannot be
served. Defaults stand in `config.py`, and what is not supported yet in `unsupported.py`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ferricorn.endpoint import Address
from ferricorn.logging import LOGGING_CONFIG
from ferricorn.middleware.proxy_headers import header_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ferricorn.config import Config

# What the native floor's numbers hold.
_MOST = 2**64 - 1
# How the options begin that are numbers from 0 to that.
_BOUNDED = ("timeout_", "limit_", "worker_", "drain_", "ws_", "wsgi_", "reload_delay")
_RANGES = {
    "port": (0, 65535),
    "backlog": (0, 2**31 - 1),
    "ws_max_queue": (1, 65535),
    "ws_deflate_window_bits": (9, 15),
    "threads": (1, 10_000),
}

# RFC 9110 section 5.6.2 (token) and 5.5 (a value has no control character but the tab).
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# What these say depends on the response, so the server says it.
_FRAMING = {"content-length", "transfer-encoding", "connection", "keep-alive", "trailer", "upgrade"}


class OptionError(ValueError):
    """An option has a value that cannot be served: `name` and `problem` say which and why."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem


@contextmanager
def blamed(name: str) -> Iterator[None]:
    """Turn a ValueError into one of this option."""
    try:
        yield
    except ValueError as error:
        raise OptionError(name, str(error)) from None


def check(config: Config, defaults: Mapping[str, Any]) -> None:
    """Look at everything but logging, headers, and what is parsed elsewhere."""
    for name, value in vars(config).items():
        if name.startswith(_BOUNDED) and not 0 <= (value or 0) <= _MOST:
            raise OptionError(name, f"{value} is no number from 0 to {_MOST}.")
    for name, (least, most) in _RANGES.items():
        value = vars(config)[name]
        if not least <= value <= most:
            raise OptionError(name, f"{value} is not between {least} and {most}.")
    with blamed("root_path"):
        config.root_path.encode()  # What is no UTF-8 in the command line is none of it here.
    with blamed("forwarded_headers"):
        header_names(config.forwarded_headers)
    for text in config.bind:
        with blamed("bind"):
            Address.parse(text)
    for name in ("host", "port", "uds", "fd") if config.bind else ():
        if vars(config)[name] != defaults[name]:
            raise OptionError("bind", f"says where to listen, and so does {name}: give one.")
    if not 0 <= (config.uds_permissions or 0) <= 0o777:
        raise OptionError("uds_permissions", f"{config.uds_permissions:o} is not within 777.")


def check_log_format(config: Config) -> None:
    """Look at how lines of the log shall be."""
    if config.log_format not in ("text", "json"):
        raise OptionError("log_format", f"{config.log_format!r} is none of text, json.")
    if config.log_format == "json" and config.log_config != LOGGING_CONFIG:
        problem = "json is a logging configuration, and so is log_config: give one."
        raise OptionError("log_format", problem)
    with blamed("access_log_format"):
        config.access_format()


def encode_header(name: str, value: str) -> tuple[bytes, bytes]:
    """Return a header of `--header` as it is sent."""
    value = value.strip(" \t")
    if name.lower() in _FRAMING:
        raise OptionError("headers", f"{name!r} frames a response and is the server's to give.")
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise OptionError("headers", f"{name!r}: {value!r} is not a valid header.")
    return name.lower().encode("latin-1"), value.encode("latin-1")


def worker_count(workers: int | str) -> int:
    """Return how many workers are meant: as many as there are processors for `auto`."""
    if workers == "auto":
        from ferricorn.processors import usable_processors

        return usable_processors()
    try:
        return int(workers)
    except ValueError:
        raise OptionError("workers", f"{workers!r} is neither a number nor 'auto'.") from None
