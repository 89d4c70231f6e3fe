"""The same conversations with uvicorn: what an application and a client see of both is the same.

Each server runs the same application, a client says the same, and what the application was given,
what the client got and what stands in the log are compared. `DIFFERS` says where we differ on
purpose.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import DRIVERS
from tests.support.client import CutError
from tests.support.server import PRODUCT, Server
from tests.support.websocket import CLOSE, TEXT, Peer, close_frame, frame

pytestmark = pytest.mark.skipif(PRODUCT != "ferricorn", reason="compares with uvicorn")

APP = "tests.apps.sockets:app"

Talk = Callable[[Server], list[Any]]


def open_(server: Server, path: str) -> Peer:
    peer = Peer(server.connect().sock)
    assert peer.handshake(path, ("sec-websocket-protocol", "a, b")).status == 101
    return peer


def frames(peer: Peer) -> list[Any]:
    """Read frames up to the close frame, answer it, and wait for the end."""
    got: list[Any] = []
    while True:
        try:
            each = peer.frame()
        except CutError:
            return [*got, "cut"]
        if each.opcode == CLOSE:
            peer.send(close_frame(each.close[0] if each.close[0] != 1005 else None))
            peer.rest()
            return [*got, each.close]
        got.append((each.opcode, each.payload))


def refused(path: str) -> Talk:
    def talk(server: Server) -> list[Any]:
        with Peer(server.connect().sock) as peer:
            answer = peer.handshake(path)
            seen = (answer.status, answer.body, answer.all("x-reason"), answer.all("connection"))
            return [*seen, peer.rest()]

    return talk


def listened(path: str, *says: bytes) -> Talk:
    """Say something, then hear everything up to the end."""

    def talk(server: Server) -> list[Any]:
        with open_(server, path) as peer:
            for data in says:
                peer.send(data)
            return frames(peer)

    return talk


def left(path: str, leave: Callable[[Peer], None]) -> Talk:
    def talk(server: Server) -> list[Any]:
        peer = open_(server, path)
        peer.say("hello")
        assert peer.hear() == "hello"
        leave(peer)
        return [] if peer.sock.fileno() < 0 else frames(peer)

    return talk


def chosen(server: Server) -> list[Any]:
    with Peer(server.connect().sock) as peer:
        answer = peer.handshake("/accepts", ("sec-websocket-protocol", "chat, superchat"))
        return [
            answer.status,
            *(answer.all(name) for name in ("sec-websocket-protocol", "x-greeting", "set-cookie")),
            peer.leave(1000)[0],
        ]


# What is said, and the notes that the application makes of it.
CASES: dict[str, tuple[Talk, list[tuple[str, int]]]] = {
    "accepted, and left with a code": (
        left("/echo?q=%20a", lambda peer: peer.send(close_frame(3001, "why"))),
        [("left", 1)],
    ),
    "left without a code": (listened("/echo", close_frame(None)), [("left", 1)]),
    "left by an end": (left("/echo", Peer.close), [("left", 1)]),
    "left by a reset": (left("/echo", Peer.reset), [("left", 1)]),
    "chosen": (chosen, []),
    "denied": (refused("/denies/%C3%A9?a=%20b"), [("after", 1)]),
    "answered": (refused("/answers"), [("after", 1)]),
    "returned at once": (refused("/returns_at_once"), []),
    "raised at once": (refused("/raises_at_once"), []),
    "returned": (listened("/returns"), []),
    "raised": (listened("/raises"), []),
    "closed": (listened("/closes"), [("after", 1), ("late", 1)]),
    "closed with a code": (listened("/closes?4000&so"), [("after", 1), ("late", 1)]),
    "sent late": (listened("/sends_late", close_frame(1000)), [("left", 1), ("late", 1)]),
    "broken text": (listened("/echo", frame(TEXT, b"\xff")), [("left", 1)]),
    "no mask": (listened("/echo", frame(TEXT, b"x", mask=None)), [("left", 1)]),
    "heard late": (
        listened("/listens", frame(TEXT, b"a") + frame(TEXT, b"b") + close_frame(1001)),
        [("heard", 2), ("left", 1)],
    ),
}

#: Where we differ on purpose, by case: what we have.
DIFFERS: dict[str, dict[str, Any]] = {
    # An answer in plain HTTP is complete, whatever the application does not do after it.
    "answered": {"log": ['INFO:     CLIENT - "WebSocket /answers" 418']},
    # Every request has its line.
    "returned at once": {
        "log": [
            'INFO:     CLIENT - "WebSocket /returns_at_once" 500',
            "ERROR:    ASGI callable returned without completing handshake.",
        ]
    },
    "raised at once": {
        "log": [
            "ERROR:    Exception in ASGI application",
            'INFO:     CLIENT - "WebSocket /raises_at_once" 500',
        ]
    },
    # A client hears why its connection ends, where uvicorn cuts it.
    "returned": {"client": [(1000, "")]},
    "raised": {"client": [(1011, "")]},
    # A client that errs hears in our words how, and so does the application; no line for each.
    "broken text": {
        "client": [(1007, "invalid UTF-8")],
        "left": [{"type": "websocket.disconnect", "code": 1007, "reason": "invalid UTF-8"}],
        "log": [
            'INFO:     CLIENT - "WebSocket /echo" [accepted]',
            "INFO:     connection open",
        ],
    },
    "no mask": {
        "client": [(1002, "frame without a mask")],
        "left": [{"type": "websocket.disconnect", "code": 1002, "reason": "frame without a mask"}],
    },
}

#: Lines that uvicorn's own implementations do not agree about.
UNSETTLED = re.compile("connection closed|connection rejected")


def outcome(server: Server, case: str) -> dict[str, Any]:
    talk, notes = CASES[case]
    return {"client": talk(server), **{name: server.notes(name, n) for name, n in notes}}


def lines(server: Server) -> list[str]:
    """The lines of the log from the first about a WebSocket on, without ports and tracebacks."""
    server.stop()
    found = []
    for line in server.err[: server.err.index("INFO:     Shutting down")]:
        level = line.startswith(("INFO:", "ERROR:", "WARNING:"))
        if level and not UNSETTLED.search(line):
            found.append(re.sub(r"127\.0\.0\.1:\d+", "CLIENT", line))
    start = next(n for n, line in enumerate(found) if "running on" in line)
    return [line for line in found[start + 1 :] if "GET /notes" not in line]


@pytest.fixture(params=DRIVERS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Server]]:
    theirs = Server(APP, module=["uvicorn", APP, "--port", "0"], port=0)
    ours = Server(APP, driver=request.param)
    yield theirs.wait_until_ready(), ours.wait_until_ready()
    theirs.kill()
    ours.kill()


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_conversations(pair: tuple[Server, Server], case: str) -> None:
    theirs, ours = (outcome(server, case) for server in pair)
    theirs["log"], ours["log"] = (lines(server) for server in pair)
    assert ours == {**theirs, **DIFFERS.get(case, {})}


def test_scopes(pair: tuple[Server, Server]) -> None:
    scopes = []
    for server in pair:
        with open_(server, "/shows_scope/a%20b/%C3%A9?x=%20") as peer:
            text = str(peer.hear()).replace("mappingproxy({})", "{}")
            scope = ast.literal_eval(text)
            assert scope["client"] == ("127.0.0.1", peer.sock.getsockname()[1])
            assert scope["server"] == ("127.0.0.1", server.port)
        del scope["client"], scope["server"]
        scopes.append(scope)
    theirs, ours = scopes
    assert ours == theirs
    assert list(ours["headers"]) == list(theirs["headers"])
