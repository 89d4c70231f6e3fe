"""A client that sends what it is told, whatever that is, and takes apart what it reads."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress

# For a machine that is busy with other things; reached only by a test that fails.
PATIENCE = 30.0


class Responses:
    """What a client read, taken apart."""

    def __init__(self, data: bytes, heads: list[bool]) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.fields: list[dict[bytes, bytes]] = []
        #: Whether the bytes end where a response does.
        self.whole = True
        pending = iter(heads)
        rest = data
        while rest:
            head, blank, tail = rest.partition(b"\r\n\r\n")
            match = re.fullmatch(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*((?:\r\n[^\r\n]+)*)", head)
            if not blank or match is None:
                assert b"HTTP/1.1"[: len(rest)] == rest[:8], f"no response: {rest[:200]!r}"
                self.whole = False
                return
            fields = dict(line.split(b": ", 1) for line in match[2].split(b"\r\n")[1:])
            status = int(match[1])
            length = 0
            if status >= 200 and not next(pending, False):
                length = int(fields[b"content-length"])
            if len(tail) < length:
                self.whole = False
                return
            self.statuses.append(status)
            if status >= 200:
                self.fields.append(fields)
                self.bodies.append(tail[:length])
            rest = tail[length:]


class Connection:
    """A client that keeps what it read."""

    def __init__(self, port: int, heads: list[bool]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.heads = heads
        self.data = b""
        self.open = True

    def send(self, data: bytes) -> None:
        # A server that has refused may close before it has everything.
        with suppress(ConnectionError):
            self.socket.sendall(data)

    def end(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def read_until(self, enough: Callable[[Responses], bool]) -> Responses:
        """Read until there is enough, or the end."""
        while not enough(seen := Responses(self.data, self.heads)) and self.open:
            try:
                part = self.socket.recv(1 << 20)
            except ConnectionError:
                part = b""
            self.open = bool(part)
            self.data += part
        return seen
