"""WSGI applications that answer in all manners, right and wrong."""

from __future__ import annotations

import ast
import gzip
import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.apps.wsgi import TEXT, Environ, Routes, StartResponse, note, passed, respond

routes = Routes()
app = routes.app
bare = routes.bare


class FaultError(Exception):
    """What these applications raise."""


class Portions:
    """Portions of a body that note when they are closed."""

    def __init__(self, environ: Environ, portions: Iterable[bytes], name: str = "closed") -> None:
        self.environ = environ
        self.portions = portions
        self.name = name

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.portions)

    def close(self) -> None:
        note(self.environ, f"{self.name} {self.environ['QUERY_STRING']}".rstrip())


# What is right


@routes
def script(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer as the body says, a status, headers and a body in Python's notation."""
    size = int(environ["CONTENT_LENGTH"])
    status, headers, body = ast.literal_eval(environ["wsgi.input"].read(size).decode())
    start_response(status, headers)
    return body  # type: ignore[no-any-return]


@routes
def generator(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Start the response when the first portion is asked for."""
    start_response("200 OK", [TEXT])
    for number in range(3):
        yield b"portion %d\n" % number


@routes
def many(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Yield 1000 portions of 1000 octets."""
    start_response("200 OK", [TEXT])
    for number in range(1000):
        yield b"%03d" % number * 333 + b"\n"


@routes
def large(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Return one portion of 3 MB."""
    return respond(start_response, b"0123456789" * 300_000)


@routes
def step_by_step(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Yield a portion, and the other when the file that the query names is there."""
    start_response("200 OK", [TEXT])
    yield b"first"
    passed(environ["QUERY_STRING"])
    yield b"second"


@routes
def paced(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Yield forty portions, each but the first when the folder of the query has its file."""
    start_response("200 OK", [TEXT])
    yield b"0"
    for number in range(1, 40):
        passed(f"{environ['QUERY_STRING']}/{number}")
        yield b"%d" % number


@routes
def catches_up(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Yield 8 MiB, dots until the file that the query names is there, and then small portions.

    The last one tells the most descriptors that were open meanwhile.
    """
    start_response("200 OK", [TEXT])
    for _ in range(8):
        yield bytes(1 << 20)
    while not Path(environ["QUERY_STRING"]).exists():
        time.sleep(0.002)
        yield b"."
    most = 0
    for _ in range(2_000):
        most = max(most, len(os.listdir("/dev/fd")))
        yield b"small"
    yield b"%d" % most


@routes
def forks(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Fork a child that comes back."""
    child = os.fork()
    if child == 0:
        sys.exit(7)
    _, status = os.waitpid(child, 0)
    start_response("200 OK", [TEXT])
    return [str(os.waitstatus_to_exitcode(status)).encode()]


@routes
def tail(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Give more than the kernel keeps at once, and the rest when a file is there."""
    start_response("200 OK", [TEXT, ("Content-Length", str((8 << 20) + 3))])
    for _ in range(8):
        yield bytes(1 << 20)
    passed(environ["QUERY_STRING"])
    yield b"end"


@routes
def closes_late(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Be closed when the file that the query names is there."""

    class Late(Portions):
        def close(self) -> None:
            passed(self.environ["QUERY_STRING"])

    start_response("200 OK", [TEXT])
    return Late(environ, [b"one", b"two"])


@routes
def writes(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Use `write`, and return something as well."""
    write = start_response("200 OK", [TEXT])
    write(b"written ")
    write(b"")
    write(b"again ")
    return [b"returned"]


@routes
def writes_step_by_step(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Write a portion, and the other when the file that the query names is there."""
    write = start_response("200 OK", [TEXT])
    write(b"first")
    passed(environ["QUERY_STRING"])
    write(b"second")
    return []


@routes
def changes_its_mind(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Replace the head of the response after an empty portion, before a full one."""
    start_response("200 OK", [TEXT, ("X-Old", "1")])
    yield b""
    try:
        raise FaultError("never seen")
    except FaultError:
        start_response("404 Not Found", [TEXT, ("X-New", "1")], sys.exc_info())
    yield b"gone"


@routes
def reports(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Catch an error, and answer it with a head that replaces the first one."""
    start_response("200 OK", [TEXT])
    try:
        raise FaultError("reported")
    except FaultError:
        start_response("503 Service Unavailable", [TEXT], sys.exc_info())
    return [b"reported"]


class Block(io.BytesIO):
    """A file that notes when it is closed."""

    environ: Environ

    def close(self) -> None:
        if not self.closed:
            note(self.environ, "file closed")
        super().close()


@routes
def file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send the file that the query names by the server's wrapper."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    wrapper: Callable[..., Iterable[bytes]] = environ["wsgi.file_wrapper"]
    return wrapper(Path(environ["QUERY_STRING"]).open("rb"), 8192)


@routes
def file_unpacked(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send what is in the compressed file that the query names."""
    start_response("200 OK", [TEXT])
    wrapper: Callable[..., Iterable[bytes]] = environ["wsgi.file_wrapper"]
    return wrapper(gzip.open(environ["QUERY_STRING"], "rb"))


@routes
def file_with_length(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send the rest of a file from where it stands, and say how long that is."""
    path, start, length = environ["QUERY_STRING"].split(",")
    opened = Path(path).open("rb")  # noqa: SIM115 - the server closes it
    opened.seek(int(start))
    start_response("200 OK", [TEXT, ("Content-Length", length)])
    wrapper: Callable[..., Iterable[bytes]] = environ["wsgi.file_wrapper"]
    return wrapper(opened)


@routes
def file_in_memory(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send by the wrapper what is no file of the system's; its length is asked for in the query."""
    start_response("200 OK", [TEXT])
    block = Block(b"m" * int(environ["QUERY_STRING"]))
    block.environ = environ
    wrapper: Callable[..., Iterable[bytes]] = environ["wsgi.file_wrapper"]
    return wrapper(block)


@routes
def closes(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with portions that note that they were closed."""
    start_response("200 OK", [TEXT])
    return Portions(environ, [b"one", b"two"])


@routes
def hints(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Give early hints twice, and answer."""
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
    environ["wsgi.early_hints"]([("Link", "</a.js>; rel=preload"), ("Link", "</b.js>")])
    return respond(start_response, b"hinted")


# What is wrong


@routes
def raises(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise FaultError(f"at once {environ['QUERY_STRING']}")


@routes
def raises_after_start(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    raise FaultError("after start")


@routes
def raises_within(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    def portions() -> Iterator[bytes]:
        yield b"one"
        passed(environ["QUERY_STRING"])
        raise FaultError("within")

    start_response("200 OK", [TEXT])
    return Portions(environ, portions(), "closed within")


@routes
def raises_before_first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    def portions() -> Iterator[bytes]:
        yield b""
        raise FaultError("before first")

    start_response("200 OK", [TEXT])
    return Portions(environ, portions(), "closed before first")


@routes
def raises_at_close(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    class Closing(Portions):
        def close(self) -> None:
            raise FaultError("at close")

    length = [("Content-Length", "5")] if environ["QUERY_STRING"] == "length" else []
    start_response("200 OK", [TEXT, *length])
    return Closing(environ, [b"wh", b"ole"])


@routes
def raises_after_write(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])(b"written")
    passed(environ["QUERY_STRING"])
    raise FaultError("after write")


@routes
def reports_too_late(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Report an error when the head is gone: `start_response` raises it."""
    start_response("200 OK", [TEXT])
    yield b"one"
    passed(environ["QUERY_STRING"])
    try:
        raise FaultError("too late")
    except FaultError:
        start_response("500 Oh", [TEXT], sys.exc_info())
    yield b"not reached"


@routes
def exits(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise SystemExit(f"leaving {environ['QUERY_STRING']}")


@routes
def interrupts(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise KeyboardInterrupt(f"interrupted {environ['QUERY_STRING']}")


@routes
def starts_twice(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    start_response("200 OK", [TEXT])
    return [b"body"]


@routes
def never_starts(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return [b"body"]


@routes
def returns_nothing(environ: Environ, start_response: StartResponse) -> Iterable[bytes] | None:  # type: ignore[misc]
    start_response("200 OK", [TEXT])
    return None


@routes
def closes_what_is_too_long(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT, ("Content-Length", "4")])
    return Portions(environ, [b"123", b"456", b"789"], "closed too long")


# Clients that leave


@routes
def endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Yield as long as somebody reads."""

    def portions() -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000

    start_response("200 OK", [TEXT])
    return Portions(environ, portions(), "closed endless")


@routes
def endless_writes(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Write as long as somebody reads."""
    write: Callable[[bytes], Any] = start_response("200 OK", [TEXT])
    try:
        while True:
            write(b"x" * 10_000)
    finally:
        note(environ, "stopped writing")
