"""A client that sends exactly the bytes it is told to, and reads what comes back octet by octet.

Owns one connection. It is not tolerant: what of a response is not as RFC 9112 says fails the
test. The end of a connection is an answer here: `closed()` waits for it, and takes a reset for one.
"""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class CutError(Exception):
    """The connection ended in the middle of a response; `data` is what had come of it."""

    def __init__(self, data: bytes) -> None:
        # A long body would hide in its own length what happened.
        super().__init__(data if len(data) < 1000 else data[:1000] + b"...")
        self.data = data


@dataclass
class Response:
    """One response; names of headers are in lower case, `chunks` are those of the wire."""

    status: int
    reason: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[Response] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        """Return the value of a header that must be there exactly once."""
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def json(self) -> Any:
        assert self.status == 200, self
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """A connection to a server; a context manager that closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Sending

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def request(
        self,
        method: str,
        path: str,
        *headers: tuple[str, str],
        body: bytes | None = None,
    ) -> None:
        """Send a whole request; a body has a length unless the headers say `transfer-encoding`."""
        self.send(request(method, path, *headers, body=body))

    def chunk(self, data: bytes) -> None:
        """Send a chunk of a body, the last one if it is empty."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def shutdown(self) -> None:
        """End the client's side; its answers are still read."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Leave with a reset rather than an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # Reading

    def get(self, path: str = "/", *headers: tuple[str, str]) -> Response:
        self.request("GET", path, *headers)
        return self.response()

    def post(self, path: str, body: bytes, *headers: tuple[str, str]) -> Response:
        self.request("POST", path, *headers, body=body)
        return self.response()

    def response(self, *, to_head: bool = False) -> Response:
        """Read a final response with its body; interim ones are kept in it."""
        interim: list[Response] = []
        while (response := self.head()).status < 200:
            if response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        if not to_head:
            self.body(response)
        return response

    def head(self) -> Response:
        """Read the head of a response, interim or final."""
        line = self._line().decode("latin-1")
        version, status, reason = line.split(" ", 2)
        return Response(int(status), reason, version.removeprefix("HTTP/"), self._fields())

    def body(self, response: Response) -> Response:
        """Read the body that belongs to a head."""
        if response.status in (101, 204, 304):
            return response
        if "transfer-encoding" in response:
            assert response["transfer-encoding"] == "chunked"
            assert "content-length" not in response
            while data := self.read_chunk():
                response.chunks.append(data)
            response.trailers = self._fields()
            response.body = b"".join(response.chunks)
        elif "content-length" in response:
            response.body = self.exactly(int(response["content-length"]))
        else:
            response.body = self.rest()
        return response

    def read_chunk(self) -> bytes:
        """Read a chunk; of the last one, its first line only."""
        size = int(self._line(), 16)
        if not size:
            return b""
        data = self.exactly(size)
        assert self.exactly(2) == b"\r\n"
        return data

    def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def rest(self) -> bytes:
        """Read up to the end of the connection."""
        try:
            while True:
                self._more()
        except CutError:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data

    def closed(self) -> bool:
        """Wait for the end of the connection; nothing may come before it."""
        rest = self.rest()
        assert rest == b"", rest
        return True

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._more()
        return self.exactly(end + 2)[:-2]

    def _fields(self) -> list[tuple[str, str]]:
        fields = []
        while line := self._line().decode("latin-1"):
            name, _, value = line.partition(":")
            assert name, line
            assert name == name.strip(), line
            fields.append((name.lower(), value.strip(" ")))
        return fields

    def _more(self) -> None:
        try:
            data = self.sock.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            raise CutError(bytes(self._buffer))
        self._buffer += data


def request(method: str, path: str, *headers: tuple[str, str], body: bytes | None = None) -> bytes:
    """Return the bytes of a request; Host is added, and Content-Length where it is needed."""
    names = {name.lower() for name, _ in headers}
    lines = [f"{method} {path} HTTP/1.1"]
    if "host" not in names:
        lines.append("host: test")
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
