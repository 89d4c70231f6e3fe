"""A gibibyte up, and a gibibyte down: the whole arrives, and memory stays below 64 MiB more.

The kernel keeps the peak of a process's memory; it is reset before each transfer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.conftest import DRIVERS
from tests.support.client import Client
from tests.support.server import Server

GIBI = 1 << 30
ROOM = 64 << 20
PIECE = bytes(1 << 20)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not psutil.LINUX, reason="reads the peak of memory from Linux's /proc"),
]


@pytest.fixture(params=DRIVERS)
def carrier(request: pytest.FixtureRequest, shared_server: Callable[..., Server]) -> Server:
    return shared_server("tests.apps.lasting:app", driver=request.param)


class Peak:
    """The peak of a server's memory above what it was at the start."""

    def __init__(self, server: Server) -> None:
        self.status = Path(f"/proc/{server.pid}/status")
        # 5 resets the peak to the present.
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")
        self.start = self.read("VmRSS")

    def read(self, name: str) -> int:
        line = next(each for each in self.status.read_text().splitlines() if name in each)
        return int(line.split()[1]) * 1024

    def grown(self) -> int:
        return self.read("VmHWM") - self.start


def receive(client: Client, size: int) -> None:
    """Receive so many zeros."""
    rest = client.exactly(len(client._buffer))
    assert not any(rest)
    size -= len(rest)
    window = bytearray(1 << 20)
    while size:
        count = client.sock.recv_into(window, min(size, len(window)))
        assert count, f"{size} bytes are missing"
        assert window.count(0, 0, count) == count
        size -= count


def test_a_gibibyte_up_with_its_length(carrier: Server) -> None:
    carrier.get()
    peak = Peak(carrier)
    with carrier.connect() as client:
        client.request("POST", "/size", ("content-length", str(GIBI)))
        for _ in range(GIBI // len(PIECE)):
            client.send(PIECE)
        assert client.response().text == str(GIBI)
        assert client.get().text == "hello"
    assert peak.grown() < ROOM


def test_a_gibibyte_up_in_chunks(carrier: Server) -> None:
    carrier.get()
    peak = Peak(carrier)
    with carrier.connect() as client:
        client.request("POST", "/size", ("transfer-encoding", "chunked"))
        chunks = b"".join(b"4000\r\n" + bytes(0x4000) + b"\r\n" for _ in range(64))
        for _ in range(GIBI // 0x4000 // 64):
            client.send(chunks)
        client.chunk(b"")
        assert client.response().text == str(GIBI)
        assert client.get().text == "hello"
    assert peak.grown() < ROOM


def test_a_gibibyte_down_with_its_length(carrier: Server) -> None:
    carrier.get()
    peak = Peak(carrier)
    with carrier.connect() as client:
        client.request("GET", f"/zeros/known?{GIBI}")
        assert client.head()["content-length"] == str(GIBI)
        receive(client, GIBI)
        assert client.get().text == "hello"
    assert peak.grown() < ROOM


def test_a_gibibyte_down_in_chunks(carrier: Server) -> None:
    carrier.get()
    peak = Peak(carrier)
    size = 0
    with carrier.connect() as client:
        client.request("GET", f"/zeros?{GIBI}")
        assert client.head()["transfer-encoding"] == "chunked"
        while data := client.read_chunk():
            size += len(data)
        assert client.exactly(2) == b"\r\n"
        assert client.get().text == "hello"
    assert size == GIBI
    assert peak.grown() < ROOM


def test_a_file_of_a_gibibyte(carrier: Server, tmp_path: Path) -> None:
    """`http.response.pathsend`; the file has no blocks of its own on the disk."""
    path = tmp_path / "zeros"
    with path.open("wb") as file:
        file.truncate(GIBI)
    carrier.get()
    peak = Peak(carrier)
    with carrier.connect() as client:
        client.request("GET", f"/file?{path}")
        assert client.head()["content-length"] == str(GIBI)
        receive(client, GIBI)
        assert client.get().text == "hello"
    assert peak.grown() < ROOM
