"""A WebSocket client that sends exactly the frames it is told to, and reads them one by one.

It knows the frames of RFC 6455 section 5.2 and nothing else: no state, no answers of its own. What
a server may not send (a masked frame, a reserved bit that was not negotiated) fails the test.
"""

from __future__ import annotations

import base64
import os
import struct
from dataclasses import dataclass
from hashlib import sha1

from tests.support.client import Client, Response
from tests.support.server import Server

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@dataclass
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True
    compressed: bool = False

    @property
    def close(self) -> tuple[int, str]:
        """The code and reason of a close frame; 1005 for one without."""
        assert self.opcode == CLOSE, self
        if not self.payload:
            return 1005, ""
        return struct.unpack("!H", self.payload[:2])[0], self.payload[2:].decode()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x37\xfa\x21\x3d",
    length: int | None = None,
    width: int | None = None,
) -> bytes:
    """Return a client's frame. `length` lies about the payload, `width` is 7, 16 or 64 bits."""
    size = len(payload) if length is None else length
    width = width or (7 if size < 126 else 16 if size < 65536 else 64)
    head = bytes([fin << 7 | rsv << 4 | opcode])
    flag = 0x80 if mask is not None else 0
    if width == 7:
        head += bytes([flag | size])
    elif width == 16:
        head += bytes([flag | 126]) + struct.pack("!H", size)
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def close_frame(code: int | None = 1000, reason: str = "") -> bytes:
    payload = b"" if code is None else struct.pack("!H", code) + reason.encode()
    return frame(CLOSE, payload)


class Peer(Client):
    """A connection that was, or was to be, upgraded; `answer` is the response to the handshake."""

    answer: Response

    def handshake(self, path: str, *headers: tuple[str, str], **replaced: str | None) -> Response:
        """Ask for a WebSocket, and return the answer."""
        self.ask(path, *headers, **replaced)
        self.answer = self.response()
        return self.answer

    def ask(self, path: str, *headers: tuple[str, str], **replaced: str | None) -> None:
        """Ask for a WebSocket. `replaced` changes or, with None, leaves out usual headers."""
        usual = {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec_websocket_key": KEY,
            "sec_websocket_version": "13",
            **replaced,
        }
        lines = [(n.replace("_", "-"), v) for n, v in usual.items() if v is not None]
        self.request("GET", path, *lines, *headers)

    def say(self, text: str | bytes) -> None:
        """Send a whole message."""
        if isinstance(text, str):
            self.send(frame(TEXT, text.encode(), mask=os.urandom(4)))
        else:
            self.send(frame(BINARY, text, mask=os.urandom(4)))

    def frame(self) -> Frame:
        """Read a frame."""
        first, second = self.exactly(2)
        assert not second & 0x80, "a server's frames are not masked"
        assert not first & 0x30, "reserved bits"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.exactly(2))
            assert size > 125
        elif size == 127:
            (size,) = struct.unpack("!Q", self.exactly(8))
            assert size > 65535
        return Frame(first & 15, self.exactly(size), bool(first & 0x80), bool(first & 0x40))

    def hear(self) -> str | bytes:
        """Read a whole message of one frame."""
        got = self.frame()
        assert got.fin, got
        assert got.opcode in (TEXT, BINARY), got
        return got.payload.decode() if got.opcode == TEXT else got.payload

    def leave(self, code: int | None = 1000, reason: str = "") -> tuple[int, str]:
        """Do the closing handshake, and return the server's answer."""
        self.send(close_frame(code, reason))
        answer = self.frame().close
        assert self.closed()
        return answer


def connect(server: Server, path: str, *headers: tuple[str, str]) -> Peer:
    """Open a WebSocket."""
    peer = Peer(server.connect().sock)
    answer = peer.handshake(path, *headers)
    assert answer.status == 101, answer
    assert answer["upgrade"].lower() == "websocket"
    assert answer["connection"].lower() == "upgrade"
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    digest = sha1((KEY + guid).encode(), usedforsecurity=False).digest()
    assert answer["sec-websocket-accept"] == base64.b64encode(digest).decode()
    return peer
