"""What a worker with a WSGI application can do to its parent, and what can be under way in it.

Most routes are those of `working`: whoever serves, the same is asked of it.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable, Iterator

from tests.apps.wsgi import TEXT, Environ, Routes, StartResponse, note, passed, respond

routes = Routes()
app = routes.bare

IMPORTER = os.getpid()
SIZE = 1 << 20

_kept = []


def index(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Tell the process."""
    return respond(start_response, str(os.getpid()))


routes.routes[""] = index


@routes
def importer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Tell the process that imported this."""
    return respond(start_response, str(IMPORTER))


@routes
def waits_for(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Note that this began, and answer when the file that the query names is there."""
    note(environ, "working")
    passed(environ["QUERY_STRING"])
    return respond(start_response, str(os.getpid()))


@routes
def sleeps(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer after as many seconds as the query says."""
    time.sleep(float(environ["QUERY_STRING"]))
    return respond(start_response, str(os.getpid()))


@routes
def reads(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the body."""
    return respond(start_response, environ["wsgi.input"].read())


@routes
def halves(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Answer in two halves, the second when the file that the query names is there."""
    start_response("200 OK", [TEXT])
    yield b"one "
    passed(environ["QUERY_STRING"])
    yield b"two"


@routes
def mebibytes(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Answer with as many mebibytes as the query says, and note when all were given."""
    count = int(environ["QUERY_STRING"])
    start_response("200 OK", [TEXT, ("Content-Length", str(count * SIZE))])
    for _ in range(count):
        yield bytes(SIZE)
    note(environ, "given")


@routes
def grows(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Keep as many mebibytes as the query says."""
    _kept.append(b"x" * (int(environ["QUERY_STRING"]) * SIZE))
    return respond(start_response, str(os.getpid()))


@routes
def holds_the_interpreter(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sleep in foreign code that lets no other thread run."""
    note(environ, "holding")
    ctypes.PyDLL(None).sleep(60)
    return respond(start_response)
