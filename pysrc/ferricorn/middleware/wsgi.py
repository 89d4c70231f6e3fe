"""Runs a WSGI application (PEP 3333) in threads, behind the ASGI server.

A thread has an application for the length of a request, and asks the event loop for each message:
reading the body and sending the response wait for the client as they would in a WSGI server, and
nothing is collected in memory. When the server gives a request up, what the thread waits for raises
there, so that an abandoned application ends.

Headers with an underscore are left out: WSGI's names cannot tell them from those with a hyphen, and
`X_Forwarded_For` is how one gets past a proxy that sets `X-Forwarded-For`.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ferricorn._types import Environ, ExcInfo, WSGIApp
    from ferricorn.typing import Message, Receive, Scope, Send

# A portion of a body as the server hands it out.
_PORTION = 64 * 1024


class WSGIMiddleware:
    """Shows a WSGI application as an ASGI application; `workers` run at the same time."""

    def __init__(self, app: WSGIApp, workers: int = 10) -> None:
        self.app = app
        self.executor = ThreadPoolExecutor(workers, thread_name_prefix="wsgi")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"WSGI has no {scope['type']}.")
        loop = asyncio.get_running_loop()
        bridge = _Bridge(loop)
        response = _Response(bridge, send)
        body = io.BufferedReader(_Body(bridge, receive), _PORTION)
        environ = make_environ(scope, body)
        run = contextvars.copy_context().run
        try:
            await loop.run_in_executor(self.executor, run, response.run, self.app, environ)
        finally:
            bridge.close()


class _Bridge:
    """The way of a thread to the event loop, until the request is given up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: Future[Any] | None = None

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Have the loop run the coroutine, and return its result to this thread."""
        with self._lock:
            if self._closed:
                coroutine.close()
                raise ConnectionAbortedError("The server has given this request up.")
            waiting = self._waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return waiting.result()

    def close(self) -> None:
        """Let a waiting thread go, and turn away who comes later."""
        with self._lock:
            self._closed = True
            if self._waiting is not None:
                self._waiting.cancel()


class _Body(io.RawIOBase):
    """A request's body as a file."""

    def __init__(self, bridge: _Bridge, receive: Receive) -> None:
        self._bridge = bridge
        self._receive = receive
        self._portion = b""
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what has come, waiting if there is nothing; 0 is the end."""
        while not self._portion and self._more:
            message = self._bridge.wait(_awaiting(self._receive))
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("The client left before its body was complete.")
            self._portion = message.get("body", b"")
            self._more = message.get("more_body", False)
        part = self._portion[: len(buffer)]
        self._portion = self._portion[len(part) :]
        buffer[: len(part)] = part
        return len(part)


class _Response:
    """An application's response, from `start_response` to its last portion."""

    def __init__(self, bridge: _Bridge, send: Send) -> None:
        self._bridge = bridge
        self._send = send
        self._head: Message | None = None
        self._started = False

    def run(self, app: WSGIApp, environ: Environ) -> None:
        """Call the application and send what it gives. PEP 3333: `close()` is always called."""
        portions = app(environ, self.start)
        try:
            for portion in portions:
                # Before the first portion the head waits: the application may still change it.
                if portion:
                    self.write(portion)
            self._messages(b"", more=False)
        finally:
            close: Callable[[], None] | None = getattr(portions, "close", None)
            if close is not None:
                close()

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Take the head of the response: the application's `start_response`."""
        if exc_info is not None and self._started:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._head is not None:
            raise RuntimeError("start_response was called twice.")
        self._head = {
            "type": "http.response.start",
            "status": int(status.split(" ", 1)[0]),
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers],
        }
        return self.write

    def write(self, portion: bytes) -> None:
        """Send a portion, and wait until the server has taken it."""
        self._messages(portion, more=True)

    def _messages(self, body: bytes, *, more: bool) -> None:
        if self._head is None:
            raise RuntimeError("The application did not call start_response.")
        messages = [{"type": "http.response.body", "body": body, "more_body": more}]
        if not self._started:
            self._started = True
            messages.insert(0, dict(self._head))
        self._bridge.wait(self._send_all(messages))

    async def _send_all(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            await self._send(message)


async def _awaiting(receive: Receive) -> Message:
    return await receive()


def make_environ(scope: Scope, body: io.BufferedIOBase) -> Environ:
    """Return what a WSGI application is told of a request."""
    root = _latin(scope.get("root_path", ""))
    path = _latin(scope["path"])
    host, port = scope.get("server") or ("localhost", None)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root,
        "PATH_INFO": path.removeprefix(root),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": "" if port is None else str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    client = scope.get("client")
    if client:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1")
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            key = f"HTTP_{key}"
        value = raw_value.decode("latin-1")
        between = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{between}{value}" if key in environ else value
    return environ


def _latin(text: str) -> str:
    """Return text as WSGI has it: its bytes, each as the character of that number."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
