"""Bare WSGI applications: what they cost is next to nothing, so a row shows the server."""

from __future__ import annotations

import time
from typing import Any

_HELLO = [b"Hello, World!"]
_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "13")]


def hello(environ: Any, start_response: Any) -> list[bytes]:
    """Answer with constant bytes."""
    start_response("200 OK", _HEADERS)
    return _HELLO


def post(environ: Any, start_response: Any) -> list[bytes]:
    """Read the whole body and answer with its length."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    start_response("200 OK", _HEADERS)
    return [b"%13d" % len(body)]


def sleep(environ: Any, start_response: Any) -> list[bytes]:
    """Hold a thread as a database does, then answer."""
    time.sleep(0.01)
    start_response("200 OK", _HEADERS)
    return _HELLO


_LARGE = bytes(65_536)


def mixed(environ: Any, start_response: Any) -> Any:
    """Do as the path says: `/large` is 6 MiB, which is more than the kernel keeps for a client."""
    if environ["PATH_INFO"] == "/sleep":
        return sleep(environ, start_response)
    if environ["PATH_INFO"] != "/large":
        return post(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(6 << 20))])
    return (_LARGE for _ in range(96))
