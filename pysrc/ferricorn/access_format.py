"""The user's format of access lines, taken apart: text, and atoms that the native floor fills in.

The atoms are gunicorn's, in gunicorn's notation, with two of our own. What does not change while a
process lives, such as its id and its environment, is text from the start.
"""

from __future__ import annotations

import os
import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    Segment = bytes | tuple[str, str]

_COMMON = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s'

NAMED = {"common": _COMMON, "combined": f'{_COMMON} "%(f)s" "%(a)s"'}
"""Formats that have a name."""

# Each atom of one name, as the native floor calls it. Empty: text, and no matter for that floor.
_ATOMS = {
    **{name: (name, "") for name in "hutrmUqHsBbTDML"},
    "peer": ("peer", ""),
    "request_id": ("request_id", ""),
    "f": ("i", "referer"),
    "a": ("i", "user-agent"),
    "l": ("", ""),
    "p": ("", ""),
}

_MEANT = "; there are {}, {{header}}i, {{header}}o and {{variable}}e.".format(", ".join(_ATOMS))

# An atom, a percent sign that stands for one, and one that stands for nothing.
_PART = re.compile(r"%\((?:\{([^{}]+)\}([ioe])|([^(){}]*))\)s|%%|%")

# As uvicorn's record says it, with the path quoted.
_UVICORN: list[Segment] = [
    *(("client_addr", ""), b' - "', ("m", ""), b" ", ("target", ""), b" "),
    *(("H", ""), b'" ', ("s", "")),
]


class AccessFormat(NamedTuple):
    """What the native floor is told: the parts of a line, or of an object's message."""

    segments: list[Segment]
    json: bool
    prefix: str
    """What the ids begin with that this process gives to requests: no other process has it."""


def access_format(text: str | None, *, json: bool) -> AccessFormat:
    """Return the format, uvicorn's where there is no text. Raises ValueError for a malformed one.

    To be called in the process that serves.
    """
    segments = _UVICORN if text is None else list(_parse(NAMED.get(text, text)))
    return AccessFormat(segments, json, secrets.token_hex(8))


def _parse(text: str) -> Iterator[Segment]:
    if not text:
        raise ValueError("it is empty; without an access log, use --no-access-log.")
    if not text.replace("\t", "").isprintable():
        raise ValueError(f"{text!r} has a character that is not printable: a line is one line.")
    end = 0
    for part in _PART.finditer(text):
        yield text[end : part.start()].encode(errors="replace")
        end = part.end()
        argument, kind, name = part.groups()
        if part[0] == "%%":
            yield b"%"
        elif part[0] == "%":
            raise ValueError(f"{text[part.start() :][:20]!r} begins no %(atom)s{_MEANT}")
        elif kind == "e":
            yield _escaped(os.environ.get(argument, ""))
        elif kind:
            yield kind, argument.lower()
        elif name not in _ATOMS:
            raise ValueError(f"there is no atom {name!r}{_MEANT}")
        elif name == "l":
            yield b"-"
        elif name == "p":
            yield b"<%d>" % os.getpid()
        else:
            yield _ATOMS[name]
    yield text[end:].encode(errors="replace")


def _escaped(value: str) -> bytes:
    """Return a value from outside as the native floor writes those of requests."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\')
    octets = value.encode(errors="surrogateescape")
    return b"".join(b"%c" % c if c in plain else b"\\x%02x" % c for c in octets) or b"-"
