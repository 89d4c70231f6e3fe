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
            parts = (b"", tail)
            if status >= 200 and not next(pending, False):
                parts = _split_body(fields, tail)
            if parts is None:
                self.whole = False
                return
            body, rest = parts
            self.statuses.append(status)
            if status >= 200:
                self.fields.append(fields)
                self.bodies.append(body)


def _split_body(fields: dict[bytes, bytes], data: bytes) -> tuple[bytes, bytes] | None:
    """Take a body apart from what follows it; nothing if it is not whole."""
    if b"content-length" in fields:
        length = int(fields[b"content-length"])
        return (data[:length], data[length:]) if len(data) >= length else None
    if b"transfer-encoding" not in fields:
        # To the end of the connection, as for a client of HTTP/1.0.
        return data, b""
    assert fields[b"transfer-encoding"] == b"chunked"
    body = b""
    while line := re.match(rb"([0-9a-f]+)\r\n", data):
        end = line.end() + int(line[1], 16)
        chunk = data[line.end() : end]
        if data[end : end + 2] != b"\r\n":
            return None
        data = data[end + 2 :]
        if not chunk:
            return body, data
        body += chunk
    return None


class Connection:
    """A client that keeps what it read."""

    def __init__(self, port: int, heads: list[bool]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        # What is sent in pieces is to arrive in pieces.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
