"""What slow clients cost good ones: p99 with two hundred of them against p99 without.

    benchmarks/slow.py --rounds 15 --seconds 1 --threads 4

Half of the slow clients send a body octet by octet, the others ask for more than the kernel keeps
for them and take hardly any of it. Each does something once a second, and one after the other, so
that what they do does not show on the core that they share with the good ones. One server has both
kinds of measurement in turn. They are short and many, and the best of each kind counts: what else
the machine does can only add to p99.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from measure import run_client
from process import MeasurementError, Process
from rows import Row
from servers import catalogue
from setting import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server

ROWS = (
    Row("hello", "hello", "plain_wsgi:mixed", connections=8, interface="wsgi"),
    Row("sleep", "sleep 10 ms", "plain_wsgi:mixed", "/sleep", connections=8, interface="wsgi"),
)
# What is promised of p99.
MOST = 2.0

_SENDS = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n"
_TAKES = b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class SlowClients:
    """So many of them are there within the `with` block, and are slow."""

    def __init__(self, port: int, count: int) -> None:
        self._address = ("127.0.0.1", port)
        self._count = count
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> None:
        self._stack = ExitStack()
        self._clients = [self._stack.enter_context(self._open(n)) for n in range(self._count)]
        # The application has answered who asked.
        time.sleep(1)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        with self._stack:
            if any(self._is_left(each) for each in self._clients):
                raise MeasurementError("slow clients were cut")

    def _open(self, number: int) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(self._address)
        client.sendall(_TAKES if number % 2 else _SENDS)
        client.setblocking(False)
        return client

    def _go_on(self) -> None:
        for number, client in enumerate(itertools.cycle(self._clients)):
            if self._over.wait(1 / self._count):
                return
            try:
                client.recv(100) if number % 2 else client.send(b"x")
            except OSError:
                continue

    @staticmethod
    def _is_left(client: socket.socket) -> bool:
        """Whether the server has ended the connection."""
        try:
            return client.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def _measure(row: Row, server: Server, options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """Return p99 without the slow clients and with them, for each round, in microseconds."""
    with tempfile.NamedTemporaryFile() as log, Process(server, row, log) as process:
        run_client(process, row, 1)
        for _ in range(options.rounds):
            without = run_client(process, row, options.seconds)["p99"]
            with SlowClients(process.port, options.clients):
                yield without, run_client(process, row, options.seconds)["p99"]


def main() -> int:
    """Measure and print; the status says whether the promise was kept."""
    parser = argparse.ArgumentParser(description="What slow clients cost good ones.")
    parser.add_argument("--rounds", type=int, default=15, help="default 15")
    parser.add_argument("--seconds", type=float, default=1, help="of a measurement (default 1)")
    parser.add_argument("--clients", type=int, default=200, help="that are slow (default 200)")
    parser.add_argument("--threads", type=int, default=4, help="of the server (default 4)")
    options = parser.parse_args()
    ours = catalogue()["ferricorn"]
    threads = ["--threads", str(options.threads)]
    server = replace(ours, command=lambda row, port: [*ours.command(row, port), *threads])
    prepare()
    kept = True
    for row in ROWS:
        rounds = list(_measure(row, server, options))
        quiet, slow = zip(*rounds, strict=True)
        ratio = min(slow) / min(quiet)
        print(
            f"{row.title}: p99 {min(quiet)} us without slow clients, {min(slow)} us with"
            f" {options.clients}: {ratio:.2f} times (medians {median(quiet):.0f} and"
            f" {median(slow):.0f})",
            flush=True,
        )
        kept = kept and ratio <= MOST
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
