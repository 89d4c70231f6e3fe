"""The two applications by which PEP 3333 introduces WSGI: a function, and a class.

The class itself is what the server calls: it makes an instance for each request, and iterates it.
Around them there is what takes anything and passes it on, and may say of what or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from typing import Any
from wsgiref.validate import validator


def simple_wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    """Answer every request, without a word about the length of the answer."""
    start_response("200 OK", [("Content-type", "text/plain")])
    return [b"Hello, world!\n"]


class WSGIApp:
    """Answers the request that it was made for when it is iterated."""

    def __init__(self, environ: Any, start_response: Any) -> None:
        self.environ = environ
        self.start = start_response

    def __iter__(self) -> Iterator[bytes]:
        """Yield the answer in two portions."""
        self.start("200 OK", [("Content-type", "text/plain")])
        yield b"Hello, "
        yield self.environ["PATH_INFO"].lstrip("/").encode("latin-1") or b"world"


class Instance:
    """A WSGI application that is an instance."""

    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        """Answer as the class does."""
        return iter(WSGIApp(environ, start_response))


instance = Instance()
method = instance.__call__


def make() -> Any:
    """Make the application."""
    return simple_wsgi_app


@wraps(simple_wsgi_app)
def decorated(*args: Any, **kwargs: Any) -> Any:
    """Say what is called, as a good decorator does."""
    return simple_wsgi_app(*args, **kwargs)


def silent(*args: Any) -> Any:
    """Say nothing."""
    return simple_wsgi_app(*args)


validated = validator(simple_wsgi_app)
