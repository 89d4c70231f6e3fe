"""WSGI applications that hold their threads, and tell how many do so at once."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator

from tests.apps.wsgi import TEXT, Environ, Routes, StartResponse, note, passed, respond

routes = Routes()
app = routes.app
bare = routes.bare

# More than the kernel takes of a response whose client does not read: 4 MiB, by default.
SIZE = 6 << 20
_LARGE = bytes(SIZE)

# Longer than any test waits, so that the test fails and not the barrier.
_ten = threading.Barrier(10, timeout=60)

_lock = threading.Lock()
_spinning = 0
_running = 0
_most = 0


@routes
def ten(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer when ten requests are here at the same time."""
    _ten.wait()
    return respond(start_response, "ten were here")


@routes
def two_spin(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer when two requests run at the same time, neither of which ever waits."""
    global _spinning
    # With an interpreter's lock, whoever has it keeps it.
    sys.setswitchinterval(3600)
    with _lock:
        _spinning += 1
    until = time.monotonic() + 60
    while _spinning < 2 and time.monotonic() < until:
        pass
    return respond(start_response, f"{_spinning} were here")


@routes
def gil(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Tell whether the interpreter has its lock."""
    return respond(start_response, repr(sys._is_gil_enabled()))  # type: ignore[attr-defined]


@routes
def pid(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Tell the process."""
    return respond(start_response, str(os.getpid()))


@routes
def held(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Note that this began, and answer when the file that the query names is there."""
    note(environ, "held")
    passed(environ["QUERY_STRING"])
    return respond(start_response, "held")


@routes
def held_in_the_middle(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Begin a response, and end it when the file that the query names is there."""
    start_response("200 OK", [TEXT])
    yield b"begun"
    note(environ, "held")
    passed(environ["QUERY_STRING"])
    yield b"ended"
    note(environ, "went on")


@routes
def counted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with how many at most were here at once."""
    global _running, _most
    with _lock:
        _running += 1
        _most = max(_most, _running)
    # Others get every chance to come.
    threading.Event().wait(0.01)
    with _lock:
        _running -= 1
    return respond(start_response, str(_most))


@routes
def length(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read the body, and answer with its length."""
    size = 0
    while piece := environ["wsgi.input"].read(65_536):
        size += len(piece)
    return respond(start_response, str(size))


@routes
def large(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with some mebibytes at once."""
    return respond(start_response, _LARGE)


@routes
def large_in_portions(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with some mebibytes in portions."""
    start_response("200 OK", [TEXT, ("Content-Length", str(SIZE))])
    for _ in range(96):
        yield _LARGE[: SIZE // 96]


@routes
def until_gone(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Wait until the client has left; note what was seen before, and what then."""
    gone = environ["ferricorn.client_disconnected"]
    note(environ, f"waits {gone()!r}")
    until = threading.Event()
    for _ in range(20_000):
        if gone():
            break
        until.wait(0.003)
    note(environ, f"gone {gone()!r}")
    return respond(start_response)


@routes
def still_there(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Ask after the client before, within and after the answer."""
    gone = environ["ferricorn.client_disconnected"]

    def portions() -> Iterator[bytes]:
        yield repr(gone()).encode()
        yield repr(gone()).encode()

    start_response("200 OK", [TEXT])
    return portions()


@routes
def name(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the name of the thread, and whether it is the main one."""
    thread = threading.current_thread()
    return respond(start_response, f"{thread is threading.main_thread()} {thread.name}")
