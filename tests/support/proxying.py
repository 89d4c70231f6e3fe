"""Headers of the PROXY protocol, as proxies write them and as they should not."""

from __future__ import annotations

import socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.2 4000 443\r\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, UDP4, TCP6, STREAM = 0x11, 0x12, 0x21, 0x31


def binary(block: bytes = b"", command: int = PROXY, family: int = TCP4) -> bytes:
    """Return a header of version 2 with this block behind its fixed part."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


def inet(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """Return the block of two addresses of one family."""
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    hosts = [socket.inet_pton(family, host) for host, _ in (source, destination)]
    return b"".join(hosts) + struct.pack("!HH", source[1], destination[1])


BLOCK = inet(("192.0.2.1", 4000), ("198.51.100.2", 443))
