"""The adapter for WSGI: what an application is told, and what becomes of its answer."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

import pytest

from ferricorn.middleware.wsgi import WSGIMiddleware

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "http_version": "1.1",
    "scheme": "https",
    "root_path": "/root",
    "path": "/root/a b/é",
    "query_string": b"q=%20",
    "server": ("127.0.0.1", 80),
    "client": ("1.2.3.4", 5),
    "headers": [],
}


def run(app: Any, *events: Any, **changes: Any) -> list[dict[str, Any]]:
    """Run an application on events of a request, and return what it sends."""
    waiting = list(events or [{"type": "http.request", "body": b"", "more_body": False}])
    sent = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(WSGIMiddleware(app)({**SCOPE, **changes}, receive, send))
    return sent


def start(status: int, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def environ_of(**changes: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def app(environ: Any, start_response: Any) -> Any:
        seen.update(environ)
        start_response("204 No Content", [])
        return []

    run(app, **changes)
    return seen


def test_the_environment() -> None:
    environ = environ_of(
        headers=[
            (b"host", b"example.org"),
            (b"content-type", b"text/plain"),
            (b"content-length", b"3"),
            (b"x-twice", b"1"),
            (b"x-twice", b"\xe9"),
            (b"cookie", b"a=1"),
            (b"cookie", b"b=2"),
            (b"x_twice", b"spoof"),
            (b"content_length", b"9"),
        ]
    )
    assert environ.pop("wsgi.input").readable()
    assert environ.pop("wsgi.errors") is sys.stderr
    assert environ == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/root",
        "PATH_INFO": "/a b/Ã©",
        "QUERY_STRING": "q=%20",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "1.2.3.4",
        "REMOTE_PORT": "5",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "example.org",
        "HTTP_X_TWICE": "1,é",
        "HTTP_COOKIE": "a=1; b=2",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def test_a_unix_socket_has_no_port_and_its_client_no_address() -> None:
    environ = environ_of(server=("/run/sock", None), client=None)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("/run/sock", "")
    assert "REMOTE_ADDR" not in environ


def test_the_standard_librarys_validator_is_content() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        lines = [environ["wsgi.input"].readline(), *environ["wsgi.input"]]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return lines

    events = [
        {"type": "http.request", "body": b"one\ntw", "more_body": True},
        {"type": "http.request", "body": b"o\nthree", "more_body": False},
    ]
    assert run(validator(app), *events) == [
        start(200, (b"Content-Type", b"text/plain")),
        *(body(line) for line in (b"one\n", b"two\n", b"three")),
        body(b"", more=False),
    ]


def test_the_head_waits_for_the_first_portion() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("X-Old", "1")])
        yield b""
        try:
            raise LookupError
        except LookupError:
            start_response("404 Not Found", [("X-New", "1")], sys.exc_info())
        yield b"gone"

    sent = run(app)
    assert sent == [start(404, (b"X-New", b"1")), body(b"gone"), body(b"", more=False)]


def test_what_is_written_comes_before_what_is_returned() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        write(b"one")
        return [b"two"]

    assert run(app) == [start(200), body(b"one"), body(b"two"), body(b"", more=False)]


class Portions:
    """Portions that note that they were closed."""

    def __init__(self, work: Callable[[], bytes]) -> None:
        self.work = work
        self.closed = False

    def __iter__(self) -> Any:
        yield self.work()

    def close(self) -> None:
        self.closed = True


def test_portions_are_closed_whatever_happens() -> None:
    def fail() -> bytes:
        raise LookupError("no such shelf")

    for work in (lambda: b"fine", fail):
        portions = Portions(work)

        def app(environ: Any, start_response: Any, portions: Any = portions) -> Any:
            start_response("200 OK", [])
            return portions

        if work is fail:
            with pytest.raises(LookupError, match="no such shelf"):
                run(app)
        else:
            run(app)
        assert portions.closed


def test_an_error_after_the_head_is_raised_again() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])(b"sent")
        try:
            raise LookupError("too late")
        except LookupError:
            start_response("500 Oh", [], sys.exc_info())

    with pytest.raises(LookupError, match="too late"):
        run(app)


def test_misuse() -> None:
    def silent(environ: Any, start_response: Any) -> Any:
        return [b"x"]

    def twice(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        start_response("200 OK", [])

    with pytest.raises(RuntimeError, match="did not call start_response"):
        run(silent)
    with pytest.raises(RuntimeError, match="called twice"):
        run(twice)
    with pytest.raises(NotImplementedError, match="WSGI has no lifespan"):
        run(silent, type="lifespan")


def test_a_client_that_leaves_is_an_error_of_the_input() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.input"].read()

    with pytest.raises(ConnectionResetError):
        run(
            app,
            {"type": "http.request", "body": b"the", "more_body": True},
            {"type": "http.disconnect"},
        )


def test_a_request_that_is_given_up_lets_its_thread_go() -> None:
    begun, ended = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        begun.set()
        try:
            environ["wsgi.input"].read()
        finally:
            ended.set()

    async def main() -> None:
        async def channel(*_: Any) -> Any:
            await asyncio.Event().wait()

        task = asyncio.create_task(WSGIMiddleware(app)(SCOPE, channel, channel))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 30)

    asyncio.run(main())
