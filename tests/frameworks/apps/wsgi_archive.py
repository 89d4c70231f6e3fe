"""One WSGI application, as it is and made ASGI by two adapters: `a2wsgi` and `asgiref`.

Both run it in threads, where it reads its input and yields its output without a loop: a2wsgi while
the body still comes, asgiref when all of it is there. The application itself names neither.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import a2wsgi
from asgiref.wsgi import WsgiToAsgi

from ferricorn.middleware.wsgi import WSGIMiddleware

Environ = dict[str, Any]
Answer = Callable[..., Any]


def wsgi(environ: Environ, answer: Answer) -> Iterable[bytes]:
    route = ROUTES.get(environ["PATH_INFO"].split("/")[1])
    if route is None:
        answer("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]
    return route(environ, answer)


def respond(answer: Answer, value: Any) -> list[bytes]:
    body = json.dumps(value).encode()
    answer(
        "200 OK",
        [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
    )
    return [body]


def tell(environ: Environ, answer: Answer) -> Iterable[bytes]:
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "SERVER_PROTOCOL")
    told = {name: environ[name] for name in names}
    told["who"] = environ.get("HTTP_X_WHO")
    told["main"] = threading.current_thread() is threading.main_thread()
    return respond(answer, told)


def digest(environ: Environ, answer: Answer) -> Iterable[bytes]:
    digest = hashlib.sha256()
    size = 0
    while piece := environ["wsgi.input"].read(10_000):
        digest.update(piece)
        size += len(piece)
    return respond(answer, {"size": size, "digest": digest.hexdigest()})


def stream(environ: Environ, answer: Answer) -> Iterator[bytes]:
    answer("200 OK", [("Content-Type", "text/plain")])
    for number in range(300):
        yield b"line %d\n" % number


def live(environ: Environ, answer: Answer) -> Iterator[bytes]:
    """Yield one piece, and the other when the file that the query names is there."""
    answer("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    while not Path(environ["QUERY_STRING"]).exists():
        time.sleep(0.005)
    yield b"second"


def broken(environ: Environ, answer: Answer) -> Iterable[bytes]:
    raise LookupError("no such shelf")


ROUTES = {"tell": tell, "digest": digest, "stream": stream, "live": live, "broken": broken}


by_ours = WSGIMiddleware(wsgi)
by_a2wsgi = a2wsgi.WSGIMiddleware(wsgi)
by_asgiref = WsgiToAsgi(wsgi)
