"""What the WSGI applications of the tests have in common: routes by name, notes and gates.

`Routes` has two applications of the same functions: `app` with the standard library's validator
around it, whose complaints are errors in the log, and `bare` without it, for what it would refuse
before the server sees it.

An application notes what happens in a line of `wsgi.errors`, and a test waits for the line: that
needs no thread of the server's. The other way round, `passed(path)` waits for a file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGI = Callable[[Environ, StartResponse], Iterable[bytes]]

TEXT = ("Content-Type", "text/plain")

# Longer than any test waits; reached only by what a failed test has left behind.
_LONGEST_WAIT = 60.0


def note(environ: Environ, text: str) -> None:
    """Write a line of its own into the log: `NOTE text`."""
    environ["wsgi.errors"].write(f"NOTE {text}\n")
    environ["wsgi.errors"].flush()


def passed(path: str) -> None:
    """Wait until a test has made this file."""
    until = time.monotonic() + _LONGEST_WAIT
    while not Path(path).exists():
        assert time.monotonic() < until, f"nobody made {path}"
        time.sleep(0.002)


def respond(start_response: StartResponse, body: bytes | str = b"ok", *headers: Any) -> list[bytes]:
    """Return a whole response, with its length."""
    body = body.encode() if isinstance(body, str) else body
    start_response("200 OK", [TEXT, ("Content-Length", str(len(body))), *headers])
    return [body]


def respond_json(start_response: StartResponse, value: Any) -> list[bytes]:
    return respond(start_response, json.dumps(value))


class Routes:
    """Applications made of functions: the first segment of the path is a function's name."""

    def __init__(self) -> None:
        self.routes: dict[str, WSGI] = {"": self._index}
        validated = validator(self._serve)

        def bare(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            return self._serve(environ, start_response)

        # The validator's own function takes `*args`, which says nothing of its interface.
        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            return validated(environ, start_response)

        self.bare = bare
        self.app = app

    def __call__(self, function: WSGI) -> WSGI:
        self.routes[function.__name__] = function
        return function

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        name = environ["PATH_INFO"].lstrip("/").split("/")[0]
        function = self.routes.get(name)
        if function is None:
            start_response("404 Not Found", [TEXT])
            return [f"no route {name!r}".encode("latin-1", "replace")]
        return function(environ, start_response)

    @staticmethod
    def _index(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return respond(start_response)
