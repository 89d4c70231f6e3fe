"""How a WebSocket ends: RFC 6455 section 7, who began it and what each side hears."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from tests.conftest import DRIVERS, StartServer
from tests.support.server import PATIENCE, Server
from tests.support.websocket import CLOSE, PING, TEXT, Peer, close_frame, connect, frame

APP = "tests.apps.sockets:app"


@pytest.fixture
def fresh(server: StartServer, everywhere: dict[str, str]) -> Server:
    return server(APP, **everywhere)


def left(code: int, **more: str) -> dict[str, object]:
    return {"type": "websocket.disconnect", "code": code, **more}


@pytest.mark.parametrize(
    ("code", "reason", "answer"),
    [
        (1000, "", (1000, "")),
        (1001, "going", (1001, "going")),
        (None, "", (1005, "")),
        (3000, "ü", (3000, "ü")),
        (4999, "x" * 123, (4999, "x" * 123)),
    ],
)
def test_the_client_closes(
    fresh: Server, code: int | None, reason: str, answer: tuple[int, str]
) -> None:
    with connect(fresh, "/echo") as peer:
        peer.say("hello")
        assert peer.hear() == "hello"
        # A browser's page is shown what comes back.
        assert peer.leave(code, reason) == answer
    assert fresh.notes("left") == [left(answer[0], reason=reason)]
    fresh.wait_for("connection closed")


def test_messages_before_the_close_are_heard(fresh: Server) -> None:
    with connect(fresh, "/listens") as peer:
        peer.send(frame(TEXT, b"last") + frame(TEXT, b"words") + close_frame(1000))
        assert peer.frame().opcode == CLOSE
    assert fresh.notes("heard", 2) == ["last", "words"]
    assert fresh.notes("left") == [left(1000, reason="")]


@pytest.mark.parametrize(
    ("end", "told"),
    [(close_frame(4000, "so"), left(4000, reason="so")), (b"", left(1005))],
    ids=["close frame", "none"],
)
def test_an_application_that_is_late_hears_everything(
    fresh: Server, end: bytes, told: dict[str, object]
) -> None:
    with connect(fresh, "/listens_later") as peer:
        fresh.notes("accepted")
        peer.send(frame(TEXT, b"last") + frame(TEXT, b"words") + end)
        if end:
            assert peer.frame().opcode == CLOSE
            assert peer.closed()
    fresh.wait_for("connection closed")
    fresh.get("/pass/listen")
    assert fresh.notes("heard", 2) == ["last", "words"]
    # It may ask again.
    assert fresh.notes("left", 2) == [told, told]


@pytest.mark.parametrize("unix", [False, True])
def test_messages_that_no_room_was_for_are_heard_after_the_client_left(
    server: StartServer, everywhere: dict[str, str], unix: bool, tmp_path: Path
) -> None:
    place = {"uds": str(tmp_path / "socket")} if unix else {}
    fresh = server(APP, ws_max_queue=2, **everywhere, **place)
    with connect(fresh, "/listens_later") as peer:
        fresh.notes("accepted")
        peer.send(b"".join(frame(TEXT, b"%d" % n) for n in range(100)) + close_frame(1001))
        # By the time of this answer, the server has read as far as it would.
        fresh.get("/echo")
    fresh.get("/pass/listen")
    assert fresh.notes("heard", 100) == [str(n) for n in range(100)]
    assert fresh.notes("left", 2) == [left(1001, reason="")] * 2


@pytest.mark.parametrize("unix", [False, True])
def test_a_client_that_has_closed_and_ended_its_side_gets_what_was_sent(
    server: StartServer, everywhere: dict[str, str], unix: bool, tmp_path: Path
) -> None:
    place = {"uds": str(tmp_path / "socket")} if unix else {}
    fresh = server(APP, **everywhere, **place)
    with connect(fresh, "/pours?1x20000000") as peer:
        assert peer.sock.recv(1, socket.MSG_PEEK)
        peer.send(close_frame(1000))
        peer.shutdown()
        fresh.get("/echo")
        assert len(peer.frame().payload) == 20_000_000
        assert peer.frame().close == (1000, "")
        assert peer.closed()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_client_vanishes(fresh: Server, how: str) -> None:
    peer = connect(fresh, "/echo")
    peer.say("hello")
    peer.hear()
    getattr(peer, how)()
    assert fresh.notes("left") == [left(1005)]


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [("", 1000, ""), ("4000", 4000, ""), ("1011&broken", 1011, "broken"), ("3001&ü", 3001, "ü")],
)
def test_the_application_closes(fresh: Server, query: str, code: int, reason: str) -> None:
    with connect(fresh, f"/closes?{query}".replace("ü", "%C3%BC")) as peer:
        told = peer.frame().close
        assert told[0] == code
        peer.send(close_frame(code))
        assert peer.closed()
    (after,) = fresh.notes("after")
    assert after["code"] == code
    (late,) = fresh.notes("late")
    assert late == "Unexpected ASGI message 'websocket.send', after sending 'websocket.close'."


def test_a_close_ends_what_other_tasks_wait_for(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    """Though the client, which would have the last word, says nothing."""
    fresh = server(APP, ws_close_timeout=0, **everywhere)
    with connect(fresh, "/closes_while_others_wait"):
        fresh.get("/pass/close")
        assert fresh.notes("told") == [left(4000, reason="")]
    with connect(fresh, "/closes_while_others_wait?talk"):
        fresh.notes("sent")
        fresh.get("/pass/close")
        assert fresh.notes("told", 2)[1] == left(4000, reason="")
        (late,) = fresh.notes("late")
        assert late == "Unexpected ASGI message 'websocket.send', after sending 'websocket.close'."


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_client_that_answers_a_close_with_half_a_frame(server: StartServer, driver: str) -> None:
    impatient = server(APP, driver=driver, ws_close_timeout=0.2)
    with connect(impatient, "/closes") as peer:
        assert peer.frame().close == (1000, "")
        peer.send(frame(TEXT, b"half")[:1])
        assert peer.rest() == b"", "nothing comes after a close frame"
    assert not impatient.lines("WARNING")


def test_a_client_that_does_not_answer_a_close(server: StartServer) -> None:
    impatient = server(APP, ws_close_timeout=0.2)
    with connect(impatient, "/closes") as peer:
        assert peer.frame().close == (1000, "")
        assert peer.closed()


def test_a_client_that_talks_on_after_a_close(fresh: Server) -> None:
    with connect(fresh, "/closes") as peer:
        assert peer.frame().close == (1000, "")
        peer.send(frame(TEXT, b"did you") * 1000 + frame(TEXT, b"x" * 500_000))
        peer.send(close_frame())
        assert peer.closed()


def test_an_application_that_returns(fresh: Server) -> None:
    with connect(fresh, "/returns") as peer:
        assert peer.frame().close == (1000, "")


def test_an_application_that_raises(fresh: Server) -> None:
    with connect(fresh, "/raises") as peer:
        assert peer.frame().close == (1011, "")
    fresh.wait_for("ValueError: on purpose")


def test_sending_to_nobody_is_an_error_that_need_not_be_caught(fresh: Server) -> None:
    with connect(fresh, "/sends_late") as peer:
        peer.leave()
    assert fresh.notes("late") == ["ClientDisconnected"]
    assert not fresh.lines("Exception|Traceback")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x", mask=None), 1002),
        (frame(TEXT, b"x", rsv=4), 1002),
        (frame(TEXT, b"x", rsv=2), 1002),
        (frame(3, b""), 1002),
        (frame(11, b""), 1002),
        (frame(0, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (close_frame(1005), 1002),
        (close_frame(999), 1002),
        (close_frame(2999), 1002),
        (close_frame(5000), 1002),
        (frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"ok \xc3", fin=False) + frame(0, b"("), 1007),
        (frame(TEXT, b"", length=1 << 62, width=64), 1009),
        (frame(TEXT, b"", length=(16 << 20) + 1, width=64), 1009),
        (frame(TEXT, b"", length=1 << 63, width=64), 1002),
        (frame(TEXT, b"", length=5, width=16), 1002),
        (frame(TEXT, b"", length=500, width=64), 1002),
    ],
)
def test_a_client_that_errs(
    shared_server: StartServer, everywhere: dict[str, str], data: bytes, code: int
) -> None:
    with connect(shared_server(APP, **everywhere), "/echo") as peer:
        # What follows is not looked at.
        peer.send(data + frame(TEXT, b"after"))
        assert peer.frame().close[0] == code
        assert peer.closed()


def test_an_invalid_text_is_refused_before_its_end(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    with connect(shared_server(APP, **everywhere), "/echo") as peer:
        peer.send(frame(TEXT, b"x" * 1000 + b"\xff", length=100_000, width=64))
        assert peer.frame().close[0] == 1007


@pytest.mark.parametrize(("size", "code"), [(1000, 0), (1001, 1009)])
def test_the_limit_of_a_message_is_exact(server: StartServer, size: int, code: int) -> None:
    narrow = server(APP, ws_max_size=1000)
    for data in (
        frame(2, b"x" * size),
        frame(2, b"x" * 600, fin=False) + frame(0, b"x" * (size - 600)),
    ):
        with connect(narrow, "/echo") as peer:
            peer.send(data)
            got = peer.frame()
            if code:
                assert got.close[0] == code
            else:
                assert got.payload == b"x" * size


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends(fresh: Server, number: int) -> None:
    with connect(fresh, "/echo") as peer:
        peer.say("hello")
        peer.hear()
        fresh.send_signal(number)
        assert peer.frame().close == (1012, "")
        peer.send(close_frame(1012))
        assert peer.closed()
    assert fresh.wait() in (0, -number)


def test_a_websocket_that_is_accepted_when_the_server_ends(fresh: Server) -> None:
    with connect(fresh, "/echo") as first, Peer(fresh.connect().sock) as second:
        second.ask("/accepts_when_others_left")
        fresh.notes("asked")
        fresh.send_signal(signal.SIGTERM)
        assert first.frame().close == (1012, "")
        assert second.response().status == 101
        assert second.frame().close == (1012, "")
        for peer in (first, second):
            peer.send(close_frame(1012))
            assert peer.closed()
    assert fresh.wait() in (0, -signal.SIGTERM)


def test_the_end_does_not_wait_for_a_client_that_does_not_answer(server: StartServer) -> None:
    fresh = server(APP, ws_close_timeout=0.2)
    with connect(fresh, "/echo"):
        assert fresh.stop(signal.SIGINT) == 0


# Pings of the server's own


def test_a_client_is_pinged_and_its_pong_keeps_it(server: StartServer) -> None:
    fresh = server(APP, ws_ping_interval=0.1, ws_ping_timeout=0.5)
    with connect(fresh, "/echo") as peer:
        seen = set()
        for _ in range(8):
            ping = peer.frame()
            assert ping.opcode == PING
            seen.add(ping.payload)
            peer.send(frame(10, ping.payload))
        assert len(seen) == 8
        peer.say("still here")
        while (got := peer.frame()).opcode == PING:
            peer.send(frame(10, got.payload))
        assert got.payload == b"still here"


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_client_is_not_cut_while_nobody_listens(server: StartServer, driver: str) -> None:
    """More has come than is read ahead: its pongs are behind that."""
    fresh = server(APP, driver=driver, ws_ping_interval=0.1, ws_ping_timeout=0.1, ws_max_queue=2)
    with connect(fresh, "/listens_later") as peer:
        fresh.notes("accepted")
        peer.send(frame(TEXT, b"x" * 50_000) * 20)
        assert peer.frame().opcode == PING
        peer.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            peer.frame()
        peer.sock.settimeout(PATIENCE)
        fresh.get("/pass/listen")
        assert len(fresh.notes("heard", 20)) == 20
        # Its silence counts again from here on.
        assert peer.frame().close == (1011, "keepalive ping timeout")
        assert peer.closed()


def test_a_client_without_a_pong_is_cut(server: StartServer) -> None:
    fresh = server(APP, ws_ping_interval=0.1, ws_ping_timeout=0.1)
    with connect(fresh, "/echo") as peer:
        assert peer.frame().opcode == PING
        assert peer.frame().close == (1011, "keepalive ping timeout")
        assert peer.closed()
    (told,) = fresh.notes("left")
    assert told["code"] == 1011
