"""Neither side runs ahead of the other: bodies wait in the kernel's buffers, not in the server's.

What the kernel buffers depends on the machine, so each bound is far above it and far below what
would be buffered without back-pressure. A peer counts as stopped when nothing moved for a moment;
were that moment too short, the numbers would only be smaller.
"""

from __future__ import annotations

import select
import time

import pytest
from tests.conftest import StartServer
from tests.support.client import Client
from tests.support.server import PATIENCE, Server

MIB = 1024 * 1024

# Both kernel buffers of a connection at their largest, several times over.
KERNEL = 24 * MIB
WHOLE = 96 * MIB

# What 64 KiB of one body and the machinery around it may cost; a body that is kept costs 90 MiB.
MEMORY = 8 * MIB

MOMENT = 0.2


def push(client: Client, size: int) -> int:
    """Send until nothing goes any more, and return how much went."""
    client.sock.setblocking(False)
    piece = bytes(MIB)
    sent = 0
    while sent < size and select.select([], [client.sock], [], MOMENT)[1]:
        sent += client.sock.send(piece[: size - sent])
    client.sock.settimeout(PATIENCE)
    return sent


def settled(server: Server) -> int:
    """Wait until the flood stands still, and return how many pieces were sent."""
    pieces = -1
    while (now := int(server.get("/progress").body)) != pieces or now == 0:
        pieces = now
        time.sleep(MOMENT)
    return pieces


@pytest.fixture
def receiving(server: StartServer, everywhere: dict[str, str]) -> Server:
    return server("tests.apps.receiving:app", **everywhere)


@pytest.fixture
def sending(server: StartServer, everywhere: dict[str, str]) -> Server:
    return server("tests.apps.sending:app", **everywhere)


def test_a_body_that_is_not_received_is_not_read(receiving: Server) -> None:
    receiving.get("/")
    before = receiving.memory()
    with receiving.connect() as client:
        client.request("POST", "/never_receives", ("content-length", str(WHOLE)))
        receiving.notes("standing")
        sent = push(client, WHOLE)
        assert sent < KERNEL
        assert receiving.memory() - before < MEMORY
        receiving.get("/pass/read")
        for _ in range((WHOLE - sent) // MIB):
            client.send(bytes(MIB))
        client.send(bytes((WHOLE - sent) % MIB))
        assert client.response().body == str(WHOLE).encode()
    assert receiving.memory() - before < MEMORY


def test_a_chunked_body_that_is_not_received_is_not_read(receiving: Server) -> None:
    receiving.get("/")
    before = receiving.memory()
    with receiving.connect() as client:
        client.request("POST", "/never_receives", ("transfer-encoding", "chunked"))
        receiving.notes("standing")
        client.send(b"%x\r\n" % WHOLE)
        sent = push(client, WHOLE)
        assert sent < KERNEL
        assert receiving.memory() - before < MEMORY
        receiving.get("/pass/read")
        for _ in range((WHOLE - sent) // MIB):
            client.send(bytes(MIB))
        client.send(bytes((WHOLE - sent) % MIB) + b"\r\n0\r\n\r\n")
        assert client.response().body == str(WHOLE).encode()


def test_pieces_are_small_however_much_is_there(receiving: Server) -> None:
    with receiving.connect() as client:
        client.request("POST", "/digest", ("content-length", str(WHOLE)))
        for _ in range(WHOLE // MIB):
            client.send(bytes(MIB))
        got = client.response().json()
    assert got["length"] == WHOLE
    # 64 KiB wait at most before reading stops, and one more read is not much longer.
    assert got["longest"] <= 4 * 65536


def test_a_sender_waits_for_a_client_that_does_not_read(sending: Server) -> None:
    sending.get("/")
    before = sending.memory()
    size = 65_536
    with sending.connect() as client:
        client.request("GET", f"/flood/{WHOLE // size}/{size}")
        response = client.head()
        went = settled(sending)
        assert went * size < KERNEL
        assert sending.memory() - before < MEMORY
        for number in range(WHOLE // size):
            assert client.exactly(size) == bytes([number % 251]) * size
        assert response["content-length"] == str(WHOLE)
        assert client.get("/").body == b"ok"
    assert sending.notes("flood over")
    assert sending.memory() - before < MEMORY


@pytest.mark.parametrize("size", [100, 5_000])
def test_small_pieces_wait_as_well(sending: Server, size: int) -> None:
    pieces = 16 * MIB // size
    before = sending.memory()
    with sending.connect() as client:
        client.request("GET", f"/flood/{pieces}/{size}")
        client.head()
        assert settled(sending) < pieces
        assert sending.memory() - before < MEMORY
        for number in range(pieces):
            assert client.exactly(size) == bytes([number % 251]) * size
    assert sending.notes("flood over")


def test_one_piece_larger_than_all_buffers_arrives_whole(sending: Server) -> None:
    with sending.connect() as client:
        client.request("GET", "/one_large_piece")
        response = client.head()
        size = int(response["content-length"])
        body = client.exactly(size)
        assert body.count(b"x") == size
    assert sending.notes("large piece went")


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_waiting_sender_goes_on_when_the_client_leaves(sending: Server, leave: str) -> None:
    with sending.connect() as client:
        client.request("GET", "/flood/1000/65536")
        client.head()
        assert settled(sending) < 1000
        getattr(client, leave)()
        assert sending.notes("flood over")
    assert sending.get("/").body == b"ok"
    sending.stop()
    assert not sending.lines("ERROR|Traceback|Exception")


def test_a_waiting_sender_goes_on_when_another_ends_the_response(sending: Server) -> None:
    with sending.connect() as client:
        client.request("GET", "/two_senders")
        client.head()
        while client.read_chunk():
            pass
        assert client.exactly(2) == b"\r\n"
        assert sending.notes("other sender over")
        assert client.get("/").body == b"ok"


def test_many_clients_that_do_not_read_disturb_nobody(sending: Server) -> None:
    before = sending.memory()
    clients = [sending.connect() for _ in range(100)]
    for client in clients:
        client.request("GET", "/flood/1000/65536")
        client.head()
    assert sending.get("/").body == b"ok"
    # For each of them some pieces on their way: in the server's queue, and in the transport's.
    assert sending.memory() - before < 100 * 8 * 65_536
    for client in clients:
        client.close()
    assert sending.notes("flood over", 100)
