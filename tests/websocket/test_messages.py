"""Messages both ways: their kinds, sizes and fragments, order, pings, and who waits for whom."""

from __future__ import annotations

import os

import pytest
from tests.conftest import DRIVERS, StartServer
from tests.support.server import Server
from tests.support.websocket import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    connect,
    frame,
)

APP = "tests.apps.sockets:app"


@pytest.fixture
def here(shared_server: StartServer, everywhere: dict[str, str]) -> Server:
    return shared_server(APP, **everywhere)


def test_text_and_bytes(here: Server) -> None:
    with connect(here, "/echo") as peer:
        for message in ("hello", "", "ü€😀", b"\x00\xff", b""):
            peer.say(message)
            assert peer.hear() == message


@pytest.mark.parametrize("size", [125, 126, 127, 65535, 65536, 70_000, 1_000_000, 16 << 20])
def test_sizes(here: Server, size: int) -> None:
    message = os.urandom(size)
    with connect(here, "/echo") as peer:
        peer.say(message)
        assert peer.hear() == message
        peer.say("and after")
        assert peer.hear() == "and after"


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_long_texts(here: Server, size: int) -> None:
    message = ("a" * 50 + "ü€😀") * (size // 53)
    with connect(here, "/echo") as peer:
        peer.say(message)
        assert peer.hear() == message


@pytest.mark.parametrize("plain", [254, 255, 256, 4094, 4095, 4096, 30_000])
def test_texts_that_are_ascii_but_for_their_end(here: Server, plain: int) -> None:
    with connect(here, "/echo") as peer:
        for message in ("a" * plain + "ü", "a" * plain + "€z", "a" * plain):
            peer.say(message)
            assert peer.hear() == message


def test_fragments_are_one_message(here: Server) -> None:
    text = "Grüße".encode()
    with connect(here, "/echo") as peer:
        peer.send(frame(TEXT, text[:3], fin=False))
        peer.send(frame(PING, b"between"))
        peer.send(frame(CONTINUATION, b"", fin=False))
        peer.send(frame(CONTINUATION, text[3:]))
        pong = peer.frame()
        assert (pong.opcode, pong.payload) == (PONG, b"between")
        assert peer.hear() == "Grüße"


def test_messages_keep_their_order(here: Server) -> None:
    with connect(here, "/echo") as peer:
        sent = [os.urandom(size % 300) for size in range(1000)]
        peer.send(b"".join(frame(BINARY, message) for message in sent))
        assert [peer.hear() for _ in sent] == sent


def test_every_byte_alone(here: Server) -> None:
    with connect(here, "/echo") as peer:
        for byte in frame(TEXT, b"one") + frame(PING, b"p") + frame(BINARY, b"x" * 130):
            peer.send(bytes([byte]))
        got = [(each.opcode, each.payload) for each in (peer.frame() for _ in range(3))]
    # The server answers a ping at once, and the application its message when it comes to it.
    got.remove((PONG, b"p"))
    assert got == [(TEXT, b"one"), (BINARY, b"x" * 130)]


def test_pings_are_answered(here: Server) -> None:
    with connect(here, "/echo") as peer:
        for payload in (b"", b"x" * 125, b"\x00\x01"):
            peer.send(frame(PING, payload))
            pong = peer.frame()
            assert (pong.opcode, pong.payload) == (PONG, payload)


def test_pongs_that_nobody_asked_for_are_ignored(here: Server) -> None:
    with connect(here, "/echo") as peer:
        peer.send(frame(PONG, b"unasked"))
        peer.say("still here")
        assert peer.hear() == "still here"


def test_the_server_may_speak_first(here: Server) -> None:
    with connect(here, "/greets") as peer:
        assert [peer.hear() for _ in range(3)] == ["hello 0", "hello 1", "hello 2"]
        peer.say("thanks")
        assert peer.hear() == b"heard"


def test_receiving_can_be_given_up(here: Server) -> None:
    with connect(here, "/waits") as peer:
        assert peer.hear() == "timeout"
        assert peer.hear() == "cancelled"
        peer.say("and now")
        assert peer.hear() == "and now"


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_message_is_passed_on_by_who_gives_up(server: StartServer, driver: str) -> None:
    fresh = server(APP, driver=driver, loop="asyncio")
    with connect(fresh, "/gives_up_when_woken") as peer:
        fresh.notes("receiving")
        peer.say("for one of them")
        assert fresh.notes("heard") == ["for one of them"]


def test_everybody_hears_everybody(server: StartServer, everywhere: dict[str, str]) -> None:
    fresh = server(APP, **everywhere)
    peers = [connect(fresh, "/everywhere") for _ in range(20)]
    fresh.notes("joined", 20)
    for number, peer in enumerate(peers):
        peer.say(f"from {number}")
        assert {each.hear() for each in peers} == {f"from {number}"}
    for peer in peers:
        peer.close()
    fresh.notes("parted", 20)


def test_a_slow_application_stops_the_client(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, ws_max_queue=4, **everywhere)
    with connect(fresh, "/hears_later") as peer:
        # More than every buffer on the way holds: the client cannot send it all.
        peer.sock.setblocking(False)
        piece, sent = frame(BINARY, b"x" * 60_000), 0
        data = piece
        while sent < 400 * len(piece):
            try:
                count = peer.sock.send(data)
            except BlockingIOError:
                break
            sent += count
            data = (data + piece)[count:] if len(data) - count < len(piece) else data[count:]
        assert sent < 400 * len(piece)
        peer.sock.setblocking(True)
        peer.sock.settimeout(30)
        for _ in range(3):
            fresh.get("/pass/next")
            assert peer.hear() == "60000"


def test_a_slow_client_stops_the_application(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    with connect(fresh, "/sends?1000000") as peer:
        # A gigabyte does not fit into any buffer: send() waits, and the count stands still.
        before = -1
        while (count := len(fresh.notes("sent", 1))) != before:
            before = count
        assert count < 100
        assert peer.hear() == b"x" * 1_000_000
        fresh.notes("sent", count + 1)
    fresh.notes("stopped")


def test_a_client_that_leaves_wakes_who_sends(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    fresh = server(APP, **everywhere)
    peer = connect(fresh, "/sends?1000000")
    fresh.notes("sent", 3)
    peer.reset()
    fresh.notes("stopped")
