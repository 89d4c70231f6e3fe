"""A WSGI application that sets a context variable, and looks at it from all of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import ContextVar

from tests.apps.wsgi import TEXT, Environ, Routes, StartResponse, note, respond

routes = Routes()
app = routes.app

variable: ContextVar[str] = ContextVar("variable", default="unset")


@routes
def show(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Show the variable, then set it."""
    seen = variable.get()
    variable.set(environ["QUERY_STRING"])
    return respond(start_response, seen)


@routes
def fail(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Set the variable, and raise."""
    variable.set("by the one that failed")
    raise LookupError("no such value")


class Parts:
    """Shows the variable in each part, and notes it at the end."""

    def __init__(self, environ: Environ) -> None:
        self.environ = environ

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(3):
            yield f"{variable.get()}\n".encode()

    def close(self) -> None:
        note(self.environ, f"closed with {variable.get()}")


@routes
def parts(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Set the variable, and show it in each part of the response."""
    variable.set(environ["QUERY_STRING"])
    start_response("200 OK", [TEXT])
    return Parts(environ)
