"""One WSGI application, as it is, and made ASGI by our adapter and by others.

All run it in threads, where it reads its input and yields its output without a loop: ours and
a2wsgi's while the body still comes, the others when all of it is there. The application itself
names none of them. Each adapter is also mounted in a Starlette and in a FastAPI application.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import a2wsgi
from asgiref.wsgi import WsgiToAsgi
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from ferricorn.middleware.wsgi import WSGIMiddleware

with warnings.catch_warnings():
    # Starlette refers to a2wsgi, and people stay with what they have.
    warnings.simplefilter("ignore")
    from starlette.middleware.wsgi import WSGIMiddleware as WSGIMiddlewareOfStarlette

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


def place(environ: Environ, answer: Answer) -> Iterable[bytes]:
    return respond(answer, [environ["SCRIPT_NAME"], environ["PATH_INFO"]])


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


def failing(environ: Environ, answer: Answer) -> Iterator[bytes]:
    """Fail when a part was given."""
    answer("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    raise LookupError("no second part")


ROUTES = {
    "tell": tell,
    "place": place,
    "digest": digest,
    "stream": stream,
    "live": live,
    "broken": broken,
    "failing": failing,
}


by_ours = WSGIMiddleware(wsgi)
by_a2wsgi = a2wsgi.WSGIMiddleware(wsgi)
by_asgiref = WsgiToAsgi(wsgi)
by_starlette = WSGIMiddlewareOfStarlette(wsgi)

adapters: dict[str, Any] = {
    "ours": by_ours,
    "a2wsgi": by_a2wsgi,
    "asgiref": by_asgiref,
    "starlette": by_starlette,
}

in_starlette = Starlette(
    routes=[Mount("/mounted", routes=[Mount(f"/{name}", adapters[name]) for name in adapters])]
)

in_fastapi = FastAPI()
for name, adapter in adapters.items():
    in_fastapi.mount(f"/mounted/{name}", adapter)
