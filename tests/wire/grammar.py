"""Requests by the grammar of RFC 9112, and requests that are nearly so.

What `request` makes is valid, and comes with what a server has to understand by it. What `spoil`
makes of it is mostly not: single octets are changed, and lines and tokens that parsers are known to
disagree about are put in.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"]
TARGET = b"abcXYZ019-._~!$&'()*+,;=:@/%"
VALUE = bytes(set(range(0x21, 0x100)) - {0x7F})
HOSTS = [b"h", b"example.com", b"h:80", b"127.0.0.1:8000", b"[::1]", b"[::1]:80", b"a_b", b""]

# Names that frame, route or negotiate: a generator may not give them to just any value.
TAKEN = {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"}

# What parsers are known to disagree about.
TROUBLE = [
    *(bytes([octet]) for octet in b'\r\n\t \x00\x0b\x0c\x1f\x7f\x80\x85\xa0\xff:;,"\\0+-x_#?/*%@'),
    b"\r\n",
    b"\n\r",
    b"\r\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"0\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length : 5\r\n",
    b" Content-Length: 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content_Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding\r\n: chunked\r\n",
    b"X:\r\n y\r\n",
    b"Host: other\r\n",
    b"Connection: close\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: x\r\n",
    b"Trailer: x\r\n",
    b"5\r\nhello\r\n",
    b"1;a=b\r\nx\r\n",
    b"0x5\r\n",
    b"ffffffffffffffff\r\n",
    b"POST ",
    b"CONNECT ",
    b" http://h/",
    b"%00",
    b" HTTP/1.1",
    b" HTTP/0.9",
    b"HTTP/1.0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n",
    # A client that speaks TLS.
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@dataclass
class Request:
    """A valid request, and what it means."""

    data: bytes
    method: bytes
    #: Path and query, as an application is given them.
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes


def _text(rng: random.Random, octets: bytes, least: int, most: int) -> bytes:
    return bytes(rng.choice(octets) for _ in range(rng.randint(least, most)))


def _target(rng: random.Random, method: bytes) -> tuple[bytes, bytes]:
    """A target, and what an application is given of it."""
    target = b"/" + _text(rng, TARGET, 0, 20)
    if rng.random() < 0.4:
        target += b"?" + _text(rng, TARGET + b"?", 1, 20)
    if method == b"OPTIONS" and rng.random() < 0.3:
        return b"*", b"*"
    if rng.random() < 0.1:
        return rng.choice([b"http://h", b"HTTPS://h:8000"]) + target, target
    return target, target


def _value(rng: random.Random) -> bytes:
    words = [_text(rng, VALUE, 1, 8) for _ in range(rng.randint(0, 3))]
    return rng.choice([b" ", b"\t", b"  "]).join(words)


def _extension(rng: random.Random) -> bytes:
    if rng.random() < 0.7:
        return b""
    name = _text(rng, TOKEN, 1, 4)
    quoted = b'"' + rng.choice([b"", b"a b", b'\\"', b";=", b"\xff"]) + b'"'
    return b";" + name + rng.choice([b"", b"=" + _text(rng, TOKEN, 1, 4), b"=" + quoted])


def _chunked(rng: random.Random, body: bytes) -> bytes:
    parts = []
    rest = body
    while rest:
        size = rng.randint(1, len(rest))
        digits = rng.choice([b"%x", b"%X", b"0%x"]) % size
        parts.append(digits + _extension(rng) + b"\r\n" + rest[:size] + b"\r\n")
        rest = rest[size:]
    parts.append(rng.choice([b"0", b"000"]) + _extension(rng) + b"\r\n")
    if rng.random() < 0.3:
        parts.append(b"X-" + _text(rng, TOKEN, 1, 5) + b": " + _value(rng) + b"\r\n")
    return b"".join(parts) + b"\r\n"


def request(
    rng: random.Random, *, any_method: bool = False, last: bool = False, longest_body: int = 40
) -> Request:
    """A valid request that lets the connection go on, unless it is said to be the last."""
    method = _text(rng, TOKEN, 1, 12) if any_method and rng.random() < 0.2 else rng.choice(METHODS)
    if method in (b"CONNECT", b"HEAD"):
        method = b"GET"
    target, given = _target(rng, method)
    absolute = not target.startswith((b"/", b"*"))
    fields = [(b"Host", rng.choice(HOSTS[:-1] if absolute else HOSTS))]
    for _ in range(rng.randint(0, 4)):
        name = _text(rng, TOKEN, 1, 12)
        if name.lower() not in TAKEN:
            fields.append((name, _value(rng)))
    if last:
        fields.append((b"Connection", rng.choice([b"close", b"x, Close"])))
    body = rng.randbytes(rng.randint(1, longest_body)) if rng.random() < 0.6 else b""
    framed = b""
    if body and rng.random() < 0.5:
        fields.append((b"Content-Length", rng.choice([b"%d", b"0%d"]) % len(body)))
        framed = body
    elif body or rng.random() < 0.1:
        fields.append((b"Transfer-Encoding", rng.choice([b"chunked", b"Chunked"])))
        framed = _chunked(rng, body)
    rng.shuffle(fields)
    lines = [method + b" " + target + b" HTTP/1.1\r\n"]
    for name, value in fields:
        before, after = rng.choice([b"", b" ", b" ", b" ", b"\t "]), rng.choice([b"", b"", b" \t"])
        lines.append(name + b":" + before + value + after + b"\r\n")
    authority = target.split(b"/")[2] if absolute else None
    meant = [
        (name.lower(), authority if authority is not None and name == b"Host" else value)
        for name, value in fields
    ]
    return Request(b"".join(lines) + b"\r\n" + framed, method, given, meant, body)


def spoil(rng: random.Random, data: bytes) -> bytes:
    """Change a few octets, where they matter most."""
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(spoilt))
        # Half of the changes go to the borders of lines, fields and chunks.
        borders = [n for n, octet in enumerate(spoilt) if octet in b"\r\n: ;,"]
        if borders and rng.random() < 0.5:
            at = rng.choice(borders) + rng.randint(0, 1)
        kind = rng.randrange(4)
        if kind == 0:
            del spoilt[at : at + rng.randint(1, 3)]
        elif kind == 1:
            spoilt[at : at + 1] = rng.choice(TROUBLE)
        else:
            spoilt[at:at] = rng.choice(TROUBLE)
    return bytes(spoilt)
