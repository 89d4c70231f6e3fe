"""WSGI applications that tell what they got: the environment, and the body in every manner."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from tests.apps.wsgi import Environ, Routes, StartResponse, respond, respond_json

routes = Routes()
app = routes.app
bare = routes.bare


@routes
def environ(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Show the variables that are text."""
    return respond_json(start_response, {k: v for k, v in environ.items() if type(v) is str})


@routes
def types(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Show the type of the environment, and of everything in it."""
    shown = {name: type(value).__name__ for name, value in environ.items()}
    return respond_json(start_response, {"": type(environ).__name__, **shown})


@routes
def server_variables(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Show what the server says of itself."""
    names = ("version", "url_scheme", "multithread", "multiprocess", "run_once", "input_terminated")
    return respond_json(start_response, {name: environ.get(f"wsgi.{name}") for name in names})


@routes
def drains(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Tell whether the server has been asked to end."""
    return respond_json(start_response, environ["ferricorn.drain"].is_set())


@routes
def spoiled(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Change the environment, as an application may; tell if an earlier request's was seen."""
    seen = "spoiled" in environ or environ["wsgi.version"] != (1, 0)
    environ["spoiled"] = "yes"
    environ["wsgi.version"] = (9, 9)
    environ.pop("HTTP_HOST")
    return respond_json(start_response, seen)


@routes
def script(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Call methods of the input, as `[["read", 3], ["readline"]]` in the query says.

    `list` and `next` do what Python's functions do. Answer with what each returned.
    """
    source = environ["wsgi.input"]
    functions = {"list": list, "next": lambda lines: next(iter(lines), b"nothing")}
    results = []
    for name, *arguments in json.loads(unquote_to_bytes(environ["QUERY_STRING"])):
        function = functions.get(name)
        results.append(function(source) if function else getattr(source, name)(*arguments))
    return respond(start_response, repr(results))


@routes
def digest(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read the body in pieces of as many octets as the query says."""
    size = int(environ["QUERY_STRING"] or 10_000)
    digest = hashlib.sha256()
    length = 0
    while piece := environ["wsgi.input"].read(size):
        assert len(piece) <= size
        digest.update(piece)
        length += len(piece)
    return respond_json(start_response, {"length": length, "sha256": digest.hexdigest()})


@routes
def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Return the lines of the body as they are read."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    yield from environ["wsgi.input"]


@routes
def unread(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Leave the body where it is."""
    return respond(start_response, environ["REQUEST_METHOD"])


@routes
def complain(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Write into the log, as the query says."""
    errors = environ["wsgi.errors"]
    errors.write(f"{environ['QUERY_STRING']} wrote é\n")
    errors.writelines([f"{environ['QUERY_STRING']} wrote ", "lines\n"])
    errors.flush()
    return respond(start_response)
