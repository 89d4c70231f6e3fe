"""Peers of WebSockets that send too much, read nothing, say nothing, or leave at each moment.

Memory is the process's, read before and after; the bounds have room for allocators, and none for a
flood. Each case runs on both drivers.
"""

from __future__ import annotations

import threading
import zlib
from contextlib import ExitStack, suppress

import psutil
import pytest
from tests.conftest import DRIVERS, StartServer
from tests.hostile.test_floods import MEBI, Peak, send_until_full, wait_until
from tests.support.client import Client
from tests.support.server import Server
from tests.support.websocket import (
    BINARY,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    Peer,
    close_frame,
    connect,
    frame,
)

APP = "tests.apps.sockets:app"
DEFLATE = ("sec-websocket-extensions", "permessage-deflate")

HANDSHAKE = (
    b"GET /%s HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: " + KEY.encode() + b"\r\n\r\n"
)


@pytest.fixture(params=DRIVERS)
def crowded(request: pytest.FixtureRequest, shared_server: StartServer) -> Server:
    """A server on each driver."""
    return shared_server(APP, driver=request.param, access_log=False)


def bomb(size: int) -> bytes:
    """Return so many zeros, deflated as a message is."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    # A full flush refers to nothing before it: the piece can be repeated.
    piece = deflate.compress(bytes(MEBI)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return (piece * (size // MEBI))[:-4]


@pytest.fixture(scope="module")
def gibibyte() -> bytes:
    return bomb(1 << 30)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("limit", [MEBI, 16 * MEBI], ids=["1 MiB", "default"])
@pytest.mark.parametrize("fragmented", [False, True], ids=["whole", "fragmented"])
def test_a_compressed_bomb_costs_no_more_than_a_message(
    server: StartServer, gibibyte: bytes, driver: str, limit: int, fragmented: bool
) -> None:
    fresh = server(APP, driver=driver, ws_max_size=limit)
    # The server is warm, and has shown how much it can inflate.
    with connect(fresh, "/greets", DEFLATE) as peer:
        assert [peer.hear() for _ in range(3)]
    peak = Peak(fresh)
    for _ in range(3):
        with connect(fresh, "/greets", DEFLATE) as peer:
            assert [peer.hear() for _ in range(3)]
            if fragmented:
                middle = len(gibibyte) // 2
                data = frame(BINARY, gibibyte[:middle], fin=False, rsv=4)
                data += frame(CONTINUATION, gibibyte[middle:])
            else:
                data = frame(BINARY, gibibyte, rsv=4)
            sending = threading.Thread(target=send_all, args=(peer, data))
            sending.start()
            assert peer.frame().close[0] == 1009
            sending.join()
    assert peak.grown() < 2 * limit + 4 * MEBI
    assert fresh.get("/echo").text == "plain"


def send_all(peer: Client, data: bytes) -> None:
    with suppress(OSError):
        peer.send(data)


def test_a_flood_of_empty_fragments_ends(crowded: Server) -> None:
    before = crowded.memory()
    with connect(crowded, "/echo") as peer:
        flood = frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 140_000
        sending = threading.Thread(target=send_all, args=(peer, flood))
        sending.start()
        assert peer.frame().close[0] in (1008, 1009)
        sending.join()
    assert crowded.memory() - before < 8 * MEBI


def test_a_flood_of_empty_messages_waits_for_the_application(crowded: Server) -> None:
    before = crowded.memory()
    with connect(crowded, "/hears_later") as peer:
        assert send_until_full(peer.sock, frame(BINARY) * 10_000) < 64 * MEBI
        assert crowded.memory() - before < 8 * MEBI
        assert crowded.get("/echo").text == "plain"


@pytest.mark.parametrize("size", [0, 125])
def test_a_flood_of_pings_whose_pongs_nobody_reads(crowded: Server, size: int) -> None:
    before = crowded.memory()
    with connect(crowded, "/echo") as peer:
        flood = frame(PING, bytes(size)) * 10_000
        for _ in range(20 * MEBI // len(flood)):
            peer.send(flood)
        # Not each is answered, but the last one is, and what else comes.
        peer.send(frame(PING, b"last") + frame(TEXT, b"word"))
        assert crowded.memory() - before < 8 * MEBI
        wanted = {(PONG, b"last"), (TEXT, b"word")}
        while wanted:
            got = peer.frame()
            assert (got.opcode, got.payload) in {*wanted, (PONG, bytes(size))}
            wanted.discard((got.opcode, got.payload))


def test_a_flood_of_pongs_that_nobody_asked_for(crowded: Server) -> None:
    before = crowded.memory()
    with connect(crowded, "/echo") as peer:
        for _ in range(100):
            peer.send(frame(PONG, b"x" * 100) * 1000)
        peer.say("hello")
        assert peer.hear() == "hello"
    assert crowded.memory() - before < 8 * MEBI


@pytest.mark.parametrize("path", ["/echo", "/sends?100000"])
def test_a_peer_that_does_not_read_stops_the_application(crowded: Server, path: str) -> None:
    """What it is sent waits with the application, and what it sends in the kernel."""
    before = crowded.memory()
    with connect(crowded, path) as peer:
        assert send_until_full(peer.sock, frame(BINARY, bytes(60_000)) * 10) < 128 * MEBI
        assert crowded.memory() - before < 12 * MEBI
        assert crowded.get("/echo").text == "plain"


def test_a_message_that_is_announced_costs_nothing(crowded: Server) -> None:
    before = crowded.memory()
    with ExitStack() as stack:
        for _ in range(500):
            peer = stack.enter_context(connect(crowded, "/echo"))
            peer.send(frame(BINARY, b"x" * 10, length=16 * MEBI, width=64))
        assert (crowded.memory() - before) / 500 < 150_000
    assert crowded.get("/echo").text == "plain"


def test_messages_to_an_application_that_never_receives(crowded: Server) -> None:
    before = crowded.memory()
    with connect(crowded, "/hears_later") as peer:
        assert send_until_full(peer.sock, frame(BINARY, bytes(30_000)) * 20) < 64 * MEBI
        assert crowded.memory() - before < 8 * MEBI
        assert crowded.get("/echo").text == "plain"


@pytest.mark.parametrize("driver", DRIVERS)
def test_half_open_peers_are_cut(server: StartServer, driver: str) -> None:
    fresh = server(APP, driver=driver, ws_ping_interval=0.2, ws_ping_timeout=0.2)
    fresh.get("/echo")
    descriptors = fresh.descriptors()
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connect(fresh, "/echo"))
        told = fresh.notes("left", 200)
        wait_until(lambda: fresh.descriptors() <= descriptors + 1)
    assert {each["code"] for each in told} == {1011}
    assert not fresh.lines("Traceback|ERROR")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_handshake_that_trickles_in_is_408(server: StartServer, driver: str) -> None:
    fresh = server(APP, driver=driver, timeout_request_head=1)
    head = HANDSHAKE % b"echo"
    with fresh.connect() as client:
        for byte in head[:-1]:
            client.send(bytes([byte]))
        assert client.response().status == 408
        assert client.closed()


# What a peer has said when it leaves, and whether it waits for the 101 before.
PHASES = {
    "half a head": (HANDSHAKE[:80] % b"echo", False),
    "a handshake": (HANDSHAKE % b"echo", False),
    "a handshake and more": (HANDSHAKE % b"echo" + frame(TEXT, b"early"), False),
    "open": (b"", True),
    "half a frame": (frame(TEXT, b"x" * 500)[:50], True),
    "half a message": (frame(TEXT, b"x" * 500, fin=False), True),
    "a message": (frame(TEXT, b"x" * 500), True),
    "a ping": (frame(PING, b"x"), True),
    "a close frame": (close_frame(1000), True),
    "an error": (frame(TEXT, b"\xff"), True),
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("path", ["echo", "waits", "sends", "denies", "closes"])
def test_storms_of_clients_that_leave(server: StartServer, driver: str, path: str) -> None:
    fresh = server(APP, driver=driver, access_log=False)
    before_tasks = tasks(fresh)
    descriptors = fresh.descriptors()
    for round_ in range(30):
        for name, (data, opened) in PHASES.items():
            for leave in (Client.close, Client.reset):
                peer = Peer(fresh.connect().sock)
                if opened:
                    peer.send(HANDSHAKE % path.encode())
                    assert peer.head().status == (403 if path == "denies" else 101), name
                    if path != "denies":
                        peer.send(data)
                else:
                    peer.send(data.replace(b"/echo", f"/{path}".encode()))
                leave(peer)
        assert fresh.get("/echo").text == "plain", round_
    wait_until(lambda: fresh.descriptors() <= descriptors)
    wait_until(lambda: tasks(fresh) <= before_tasks)
    assert not fresh.lines("Traceback|ERROR|Exception"), "\n".join(fresh.log[-30:])


def tasks(server: Server) -> int:
    return int(server.get("/counts_tasks").text)


@pytest.mark.parametrize("driver", DRIVERS)
def test_ten_thousand_idle_connections(server: StartServer, driver: str) -> None:
    """They cost little, others are answered, and each is still there."""
    limit, _ = psutil.Process().rlimit(psutil.RLIMIT_NOFILE)
    count = min(10_000, limit - 1000)
    fresh = server(APP, driver=driver, access_log=False, ws_ping_interval=0, backlog=4096)
    before_tasks = tasks(fresh)
    descriptors = fresh.descriptors()
    before = fresh.memory()
    with ExitStack() as stack:
        peers = []
        for start in range(0, count, 500):
            group = [
                stack.enter_context(Peer(fresh.connect().sock))
                for _ in range(min(500, count - start))
            ]
            for peer in group:
                peer.send(HANDSHAKE % b"echo")
            for peer in group:
                assert peer.head().status == 101
            peers += group
            assert fresh.get("/echo").text == "plain"
        assert (fresh.memory() - before) / count < 16 * 1024
        used = fresh.cpu()
        for _ in range(100):
            assert fresh.get("/echo").text == "plain"
        # Connections that say nothing are no work.
        assert fresh.cpu() - used < 5
        for peer in peers[:: max(1, count // 1000)]:
            peer.say("still here")
        for peer in peers[:: max(1, count // 1000)]:
            assert peer.hear() == "still here"
    wait_until(lambda: fresh.descriptors() <= descriptors)
    wait_until(lambda: tasks(fresh) <= before_tasks)


@pytest.mark.parametrize("driver", DRIVERS)
def test_more_websockets_than_the_limit(server: StartServer, driver: str) -> None:
    fresh = server(APP, driver=driver, ws_max_connections=2)
    first, second = connect(fresh, "/echo"), connect(fresh, "/echo")
    with Peer(fresh.connect().sock) as third:
        assert third.handshake("/echo").status == 503
        assert third.closed()
    # A plain request is none.
    assert fresh.get("/echo").text == "plain"
    first.reset()
    fresh.notes("left")
    with connect(fresh, "/echo") as fourth:
        fourth.say("in")
        assert fourth.hear() == "in"
    second.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_more_handshakes_at_once_than_the_limit(server: StartServer, driver: str) -> None:
    """Whoever was not accepted when the others were gets what a later one gets."""
    fresh = server(APP, driver=driver, ws_max_connections=2)
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(fresh.connect().sock)) for _ in range(6)]
        for peer in peers:
            peer.ask("/accepts_later")
        fresh.notes("asked", len(peers))
        for _ in peers:
            fresh.get("/pass/accept")
        answers = [peer.response().status for peer in peers]
        assert sorted(answers) == [101, 101, 503, 503, 503, 503]
        assert fresh.notes("refused", 4) == ["ClientDisconnected"] * 4
        assert {each["code"] for each in fresh.notes("told", 4)} == {1006}
    assert not fresh.lines("Traceback|ERROR")


@pytest.mark.parametrize("size", [300_000, 4_000_000])
def test_messages_to_a_client_that_keeps_up_are_not_kept(crowded: Server, size: int) -> None:
    """Nothing has the application wait for long, and it does nothing else."""
    peak = Peak(crowded)
    left = 400_000_000
    with connect(crowded, f"/pours?{left // size}x{size}") as peer:
        while left > MEBI:
            left -= len(peer.sock.recv(MEBI))
    assert peak.grown() < 32 * MEBI
