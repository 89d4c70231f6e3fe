"""Peers that send or ask for more than anybody could use: memory stays flat and others are served.

B36 tiny chunks, B40 a body that nobody reads, B43 requests whose answers nobody reads, B66 heads
without end, B67 more connections than descriptors, B68 more than the configured limit. Memory is
the process's, read before and after; the bounds have room for allocators, and none for a flood.
"""

from __future__ import annotations

import errno
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from tests.conftest import DRIVERS
from tests.support.client import Client, request
from tests.support.server import PATIENCE, Server

MEBI = 1 << 20


@pytest.fixture(params=DRIVERS)
def crowded(request: pytest.FixtureRequest, shared_server: Callable[..., Server]) -> Server:
    """A server on each driver, without an access log to write."""
    return shared_server("tests.apps.hostile:app", driver=request.param, access_log=False)


class Peak:
    """The most memory that a server has had since, as the kernel kept it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        with open(f"/proc/{server.pid}/clear_refs", "w") as reset:
            reset.write("5")
        self.before = server.memory()

    def grown(self) -> int:
        with open(f"/proc/{self.server.pid}/status") as status:
            (line,) = (line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 - self.before


def send_until_full(sock: socket.socket, data: bytes) -> int:
    """Send the data again and again until the server has taken none of it for half a second.

    Returns the number of bytes sent; a server that never stops reading fails the test.
    """
    sock.setblocking(False)
    sent = 0
    offset = 0
    while sent < 1024 * MEBI:
        if not select.select([], [sock], [], 0.5)[1]:
            break
        try:
            count = sock.send(data[offset:])
        except BlockingIOError:
            continue
        except ConnectionError:
            break
        sent += count
        offset = (offset + count) % len(data)
    sock.settimeout(PATIENCE)
    return sent


def test_a_million_chunks_of_one_byte(crowded: Server) -> None:
    """They reach the application together, and cost no more than their bytes."""
    count = 1_000_000
    before = crowded.cpu()
    with crowded.connect() as client:
        client.request("POST", "/count", ("transfer-encoding", "chunked"))
        client.send(b"1\r\nx\r\n" * count + b"0\r\n\r\n")
        counted = client.response().json()
    assert counted["size"] == count
    assert counted["messages"] < count / 100
    # A fifth of a second where this was written; Python for each chunk would be far more.
    assert crowded.cpu() - before < 5


def test_a_head_byte_by_byte_costs_no_more_than_its_bytes(crowded: Server) -> None:
    """A search that began anew for each byte would look at two thousand million of them."""
    head = b"GET / HTTP/1.1\r\nhost: a\r\ncookie: " + b"c" * 60_000 + b"\r\n\r\n"
    before = crowded.cpu()
    with crowded.connect() as client:
        for byte in head:
            client.send(b"%c" % byte)
        assert client.response().status == 200
    assert crowded.cpu() - before < 10


@pytest.mark.parametrize("size", [300_000, 4_000_000])
def test_a_response_to_a_client_that_keeps_up_is_not_kept(crowded: Server, size: int) -> None:
    """Nothing has the application wait for long, and it does nothing else."""
    peak = Peak(crowded)
    with crowded.connect() as client:
        client.request("GET", f"/pours?{400_000_000 // size}x{size}", ("connection", "close"))
        while client.sock.recv(MEBI):
            pass
    assert peak.grown() < 32 * MEBI


def test_an_unread_body_is_not_read_far(crowded: Server) -> None:
    """The application answers at once; the client hears it although it goes on sending."""
    before = crowded.memory()
    with crowded.connect() as client:
        client.request("POST", "/early", ("content-length", str(10**9)))
        writer = threading.Thread(target=_send_all, args=(client.sock, bytes(MEBI), 64))
        writer.start()
        response = client.response()
        assert response.text == "early"
        assert response["connection"] == "close"
        assert client.closed()
        writer.join()
    assert crowded.memory() - before < 8 * MEBI
    assert crowded.get().status == 200


def _send_all(sock: socket.socket, data: bytes, times: int) -> None:
    with suppress(OSError):
        for _ in range(times):
            sock.sendall(data)


def test_a_small_unread_body_keeps_the_connection(crowded: Server) -> None:
    with crowded.connect() as client:
        for _ in range(3):
            response = client.post("/early", bytes(10_000))
            assert response.text == "early"
            assert "connection" not in response
        client.send(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n")
        assert client.response().text == "early"
        client.send(b"0123456789" + request("GET", "/number?after"))
        assert client.response().text.startswith("after")


def test_a_body_that_the_application_does_not_read_waits_in_the_kernel(crowded: Server) -> None:
    """At most 64 KiB and one read are held here; the rest stays with the client."""
    before = crowded.memory()
    waiting = len(crowded.notes("waits", 0))
    with crowded.connect() as client:
        client.request("POST", "/waits", ("content-length", str(10**10)))
        crowded.notes("waits", waiting + 1)
        sent = send_until_full(client.sock, bytes(MEBI))
        # Both ends' socket buffers, which the kernel bounds.
        assert sent < 64 * MEBI
        assert crowded.memory() - before < 4 * MEBI
        assert crowded.get("/pass/answer").status == 200
        assert client.response().text == "waited"


def test_requests_whose_answers_nobody_reads(crowded: Server) -> None:
    """The server stops reading when its answers are not taken; then all come, in order."""
    requests = [request("GET", f"/number?{number:06}") for number in range(1000)]
    before = crowded.memory()
    with crowded.connect() as client:
        sent = send_until_full(client.sock, b"".join(requests))
        assert crowded.memory() - before < 8 * MEBI
        assert crowded.get().status == 200
        # The last one may be in part with the server: answered are those that are whole.
        for number in range(sent // len(requests[0])):
            response = client.response()
            assert response.body.startswith(b"%06d " % (number % 1000)), number
    assert sent // len(requests[0]) > 1000


@pytest.mark.parametrize(
    ("start", "flood", "status"),
    [
        (b"GET /", b"a" * 65_536, 414),
        (b"", b"A" * 65_536, 414),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: ", b"a" * 65_536, 431),
        (b"GET / HTTP/1.1\r\nhost: a\r\n", b"a" * 65_536, 431),
        (b"GET / HTTP/1.1\r\nhost: a\r\n", b"x: y\r\n" * 10_000, 431),
        (b"\r\n\r\n", b"\r\n" * 32_768, 400),
        (
            b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;x=",
            b"a" * 65_536,
            400,
        ),
        (
            b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            b"x: y\r\n" * 10_000,
            431,
        ),
    ],
    ids=["target", "method", "value", "name", "fields", "lines", "extension", "trailers"],
)
def test_a_flood_without_end_hears_why(
    crowded: Server, start: bytes, flood: bytes, status: int
) -> None:
    """The client goes on sending 16 MiB, and hears the refusal before the connection is reset."""
    before = crowded.memory()
    with crowded.connect() as client:
        client.send(start)
        writer = threading.Thread(target=_send_all, args=(client.sock, flood, 256))
        writer.start()
        assert client.response().status == status
        assert client.closed()
        writer.join()
    assert crowded.memory() - before < 8 * MEBI


def test_many_idle_connections(crowded: Server) -> None:
    """They cost little memory, their requests are served, and all descriptors come back."""
    count = 2000
    crowded.get()
    descriptors = crowded.descriptors()
    before = crowded.memory()
    with ExitStack() as stack:
        clients = [stack.enter_context(crowded.connect()) for _ in range(count)]
        for client in clients:
            client.request("GET", "/")
        for client in clients:
            assert client.response().status == 200
        assert (crowded.memory() - before) / count < 16 * 1024
    wait_until(lambda: crowded.descriptors() <= descriptors)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_more_connections_than_descriptors(server: Callable[..., Server], loop: str) -> None:
    """Those that have one are served, the others wait without costing time, then are served too."""
    limited = server("tests.apps.hostile:app", loop=loop, prefix=["prlimit", "--nofile=64:64"])
    with ExitStack() as stack:
        clients = []
        for _ in range(100):
            client = stack.enter_context(limited.connect())
            client.request("GET", "/")
            clients.append(client)
        readable = _readable(clients, 40)
        assert 40 <= len(readable) < 64
        for client in readable:
            assert client.response().status == 200
        # Waiting for a descriptor is no work.
        before = limited.cpu()
        time.sleep(1)
        assert limited.cpu() - before < 0.5
        for client in readable:
            assert client.get().status == 200
        # Each that leaves makes room for another, until all were served.
        while len(readable) < len(clients):
            waiting = [client for client in clients if client not in readable]
            for client in readable:
                client.close()
            served = _readable(waiting, 1)
            assert served
            for client in served:
                assert client.response().status == 200
            readable += served
    assert limited.get().status == 200
    assert len(limited.lines("Traceback|too many|Too many|" + errno.errorcode[24])) < 10


def _readable(clients: list[Client], count: int) -> list[Client]:
    """Wait until as many clients have an answer and no more do for a moment."""
    by_descriptor = {client.sock.fileno(): client for client in clients}
    poller = select.poll()
    for descriptor in by_descriptor:
        poller.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + PATIENCE
    seen = -1
    while True:
        ready = poller.poll(300)
        if len(ready) >= count and len(ready) == seen:
            return [by_descriptor[descriptor] for descriptor, _ in ready]
        seen = len(ready)
        assert time.monotonic() < deadline, f"{len(ready)} of {count} clients have an answer"


@pytest.mark.parametrize("driver", DRIVERS)
def test_more_connections_than_the_limit(server: Callable[..., Server], driver: str) -> None:
    """As with uvicorn, idle connections and the one that asks count; the answer is 503."""
    limited = server("tests.apps.hostile:app", driver=driver, limit_concurrency=4)
    with ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(limited.connect())
            assert client.get().status == 200
        with limited.connect() as refused:
            response = refused.get()
            assert response.status == 503
            assert response["connection"] == "close"
            assert int(response["retry-after"]) >= 1
            assert refused.closed()
        limited.wait_for(r"Exceeded concurrency limit\.")
    # With the others gone, there is room again.
    wait_until(lambda: limited.get().status == 200)
