"""Random and mutated requests by the hundred thousand, and what may come back for them.

Three kinds, each a function of seed and number alone, so that any can be played again: `noise` is
bytes from a dictionary, `mutated` is a case of `tests/wire` or a valid request with some of its
bytes changed, and `valid` is a pipeline from a grammar of what RFC 9112 allows. Each is a
connection of its own, sent in pieces cut at random, dozens at once. What comes back must be whole
responses with a status from 200 to 599, then the end; for a valid one, exactly the answers due.

    python -m tests.hostile.mutate --count 200000
    python -m tests.hostile.mutate --seed 7 --only 4711
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tests.support.server import PATIENCE, Server
from tests.wire.cases import all_cases

#: Connections at a time.
WIDTH = 64

#: Longer cases of the wire files are about limits; they would spend the time on copying.
LONGEST_SEED = 4096

# What has a meaning somewhere: read as one thing here and as another there, it smuggles requests.
WORDS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b"\0",
    b":",
    b";",
    b",",
    b"\x0b",
    b"\x85",
    b"\xa0",
    b"\xff",
    b"%00",
    b"%2f",
    b"\x1b",
    b'"',
    b"\\",
    b"0",
    b"5",
    b"-1",
    b"+5",
    b"0x5",
    b"1e3",
    b"ffffffffffffffff",
    b"18446744073709551616",
    b"GET ",
    b"POST ",
    b"PUT ",
    b"CONNECT ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b" HTTP/0.9\r\n",
    b" /",
    b" *",
    b" http://h/",
    b"Host: a\r\n",
    b"Host: a/b\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content_Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"chunked",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: x\r\n",
    b"X: y\r\n",
    b" fold\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"1;a=b\r\nx\r\n",
    b"Trailer: x\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]

TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz"
PATHS = [
    b"/",
    b"/early",
    b"/stream",
    b"/read",
    b"/a%2fb/../c//d;e=f",
    b"/%00%ff",
    b"/" + b"l" * 900,
]


@dataclass
class Talk:
    """What one client sends and gets."""

    number: int
    pieces: list[bytes]
    #: The bodies due, if they are known.
    answers: list[bytes] | None = None
    #: Leaves without reading: with an end of the connection, or a reset of it.
    leaves: str = ""
    received: bytearray = field(default_factory=bytearray)

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)


# What is sent


def generate(seed: int, number: int, seeds: list[bytes]) -> Talk:
    """Make the talk with this number."""
    rng = random.Random(f"{seed}/{number}")
    kind = rng.randrange(10)
    answers = None
    if kind == 0:
        data = b"".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 30)))
    elif kind == 1:
        data = rng.randbytes(rng.randrange(1, 300))
    elif kind <= 3:
        requests = [valid(rng, last) for last in last_of(rng.randrange(1, 8))]
        data = b"".join(request for request, _ in requests)
        answers = [answer for _, answer in requests]
    else:
        data = rng.choice(seeds) if rng.random() < 0.7 else valid(rng, last=False)[0]
        for _ in range(rng.randrange(1, 6)):
            data = mutated(rng, data, seeds)
    leaves = rng.choice(["end", "reset"]) if answers is None and rng.random() < 0.15 else ""
    return Talk(number, list(cut(rng, data or b"\r\n")), answers, leaves)


def last_of(count: int) -> Iterator[bool]:
    yield from (number == count - 1 for number in range(count))


def mutated(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    """Change something."""
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice([1, 1, 2, 4, 16, 64]))
    match rng.randrange(9):
        case 0:
            return data[:at] + rng.choice(WORDS) + data[at:]
        case 1:
            return data[:at] + rng.choice(WORDS) + data[end:]
        case 2:
            return data[:at] + data[end:]
        case 3:
            return data[:end] + data[at:end] * rng.choice([1, 2, 100]) + data[end:]
        case 4:
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        case 5:
            return data[:at] + data[at:end].swapcase() + data[end:]
        case 6:
            return data[:at] + rng.choice(seeds)
        case 7:
            return rng.choice(seeds) + data
        case _:
            lines = data.split(b"\r\n")
            rng.shuffle(lines)
            return b"\r\n".join(lines)


def valid(rng: random.Random, last: bool) -> tuple[bytes, bytes]:
    """Make a request that must be accepted, and the body of its answer."""
    method = rng.choice([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"M-SEARCH", b"TRACE"])
    path = rng.choice(PATHS)
    query = rng.choice([b"", b"", b"?", b"?a=b&c", b"?/?%"])
    host = rng.choice([b"h", b"example.org:80", b"[::1]:8000", b"127.0.0.1", b""])
    target = path + query
    if host and rng.random() < 0.1:
        target = b"http://" + host + target
    fields = [(b"Host", host)]
    for _ in range(rng.randrange(8)):
        name = b"x-" + bytes(rng.choices(TOKEN, k=rng.randrange(1, 20)))
        inner = bytes(
            rng.choices([*range(0x20, 0x7F), *range(0x80, 0x100), 9], k=rng.randrange(40))
        )
        fields.append((name, inner.strip(b" \t")))
    body = b""
    framed = rng.randrange(3)
    size = rng.choice([0, 1, 5, 100, 3000])
    if framed == 1:
        body = wire = rng.randbytes(size)
        fields.append((b"Content-Length", rng.choice([b"", b"00"]) + b"%d" % len(body)))
    elif framed == 2:
        body = rng.randbytes(size)
        wire = b"".join(chunks(rng, body))
        fields.append((rng.choice([b"Transfer-Encoding", b"tRANSFER-eNCODING"]), b"Chunked"))
    else:
        wire = b""
    rng.shuffle(fields)
    if last:
        fields.append((b"Connection", rng.choice([b"close", b"x, Close"])))
    lines = [
        name + b":" + rng.choice([b"", b" ", b"\t "]) + value + rng.choice([b"", b" "])
        for name, value in fields
    ]
    head = b"\r\n".join([method + b" " + target + b" HTTP/1.1", *lines, b"", b""])
    empty = b"\r\n" if rng.random() < 0.1 else b""
    return empty + head + wire, describe(method, path, body)


def chunks(rng: random.Random, body: bytes) -> Iterator[bytes]:
    """Encode a body, with all that a sender is free to choose."""
    rest = body
    while rest:
        size = rng.choice([1, 2, 15, 16, 17, 1000, len(rest)])
        data, rest = rest[:size], rest[size:]
        digits = b"0" * rng.randrange(3) + rng.choice([b"%x", b"%X"]) % len(data)
        extension = rng.choice([b"", b"", b"", b";a", b";a=b", b';a="b;c"', b";a=b;c=d"])
        yield digits + extension + b"\r\n" + data + b"\r\n"
    yield rng.choice([b"0", b"000", b"0;end"]) + b"\r\n"
    yield rng.choice([b"", b"", b"X-Sum: 1\r\n", b"X-Sum: 1\r\nX-Count: 2\r\n"]) + b"\r\n"


def cut(rng: random.Random, data: bytes) -> Iterator[bytes]:
    """Cut into the pieces that are sent."""
    most = rng.choice([1, 3, 4, 4]) if len(data) < 3000 else 4
    rest = data
    while rest:
        size = len(rest) if rng.random() < 0.4 else rng.randrange(1, max(2, len(rest) // most))
        yield rest[:size]
        rest = rest[size:]


# What answers


def describe(method: bytes, path: bytes, body: bytes) -> bytes:
    """Return the answer of the application `app`, which knows what it was sent."""
    heard = b"" if path == b"/early" else body
    return b"%s %s %s" % (method, path, hashlib.sha1(heard).hexdigest().encode())


async def app(scope, receive, send):  # type: ignore[no-untyped-def]
    """Answer what was asked; /early before the body, /stream without a length."""
    path = scope["raw_path"]
    body = b""
    more = path != b"/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    answer = describe(scope["method"].encode(), path, body)
    headers = [] if path == b"/stream" else [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == b"/stream":
        await send({"type": "http.response.body", "body": answer[:7], "more_body": True})
        answer = answer[7:]
    await send({"type": "http.response.body", "body": answer})


class WrongAnswerError(Exception):
    """What came back is not what may come back."""


_HEAD = re.compile(
    rb"HTTP/1\.1 ([1-5][0-9]{2}) [^\r\n\0]*\r\n((?:[!#-'*+.^-z|~A-Z0-9-]+: [^\r\n\0]*\r\n)*)\r\n"
)


def responses(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Take apart what came: status and body of each final response, all of them whole."""
    rest = data
    while rest:
        head = _HEAD.match(rest)
        if head is None:
            raise WrongAnswerError(f"no response: {rest[:300]!r}")
        rest = rest[head.end() :]
        status = int(head[1])
        if status < 200:
            continue
        fields = dict(line.split(b": ", 1) for line in head[2].split(b"\r\n") if line)
        if b"content-length" in fields:
            size = int(fields[b"content-length"])
            body, rest = rest[:size], rest[size:]
            if len(body) < size:
                raise WrongAnswerError(f"a response is cut: {data[-300:]!r}")
        elif fields.get(b"transfer-encoding") == b"chunked":
            whole = re.match(rb"((?:(?!0)[0-9a-f]+\r\n[^\r]*\r\n)*)0\r\n\r\n", rest)
            if whole is None:
                raise WrongAnswerError(f"chunks are cut: {rest[:300]!r}")
            body = b"".join(re.findall(rb"[0-9a-f]+\r\n([^\r]*)\r\n", whole[1]))
            rest = rest[whole.end() :]
        else:  # HTTP/1.0, up to the end
            body, rest = rest, b""
        yield status, body


def judge(talk: Talk) -> list[int]:
    """Say what came, or raise that it may not."""
    got = list(responses(bytes(talk.received)))
    if talk.answers is not None and got != [(200, answer) for answer in talk.answers]:
        raise WrongAnswerError(f"{got!r} is not what is due: {talk.answers!r}")
    return [status for status, _ in got]


# How


def converse(port: int, talks: list[Talk]) -> None:
    """Hold these talks at once, until each connection has ended."""
    with selectors.DefaultSelector() as selector:
        rest = {}
        for talk in talks:
            sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            rest[sock] = list(reversed(talk.pieces))
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, talk)
        while selector.get_map():
            events = selector.select(PATIENCE)
            if not events:
                waiting = [key.data for key in selector.get_map().values()]
                raise WrongAnswerError(f"{len(waiting)} hang, the first: {waiting[0]!r}")
            for key, ready in events:
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                over = ready & selectors.EVENT_READ and _read(sock, key.data)
                if not over and ready & selectors.EVENT_WRITE:
                    over = _write(sock, key.data, rest[sock])
                    if not over and not rest[sock]:
                        selector.modify(sock, selectors.EVENT_READ, key.data)
                if over:
                    selector.unregister(sock)
                    sock.close()


def _read(sock: socket.socket, talk: Talk) -> bool:
    try:
        data = sock.recv(1 << 16)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    talk.received += data
    return not data


def _write(sock: socket.socket, talk: Talk, rest: list[bytes]) -> bool:
    with suppress(BlockingIOError):
        # A server that has refused does not read on: its answer is still to be read.
        try:
            sent = sock.send(rest[-1])
        except ConnectionError:
            rest.clear()
            return False
        rest[-1] = rest[-1][sent:]
        if not rest[-1]:
            rest.pop()
    if rest:
        return False
    if talk.leaves == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    elif not talk.leaves:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
    return bool(talk.leaves)


def all_seeds() -> list[bytes]:
    """Return what clients of the wire cases send."""
    sent = (b"".join(a for a in case.acts if isinstance(a, bytes)) for case in all_cases().values())
    # Whether the answer to HEAD has a body cannot be known once the method may have changed.
    return sorted({data for data in sent if len(data) <= LONGEST_SEED and b"HEAD" not in data})


def play(server: Server, seed: int, numbers: range) -> Counter[int]:
    """Hold all these talks; return how often each status came."""
    seeds = all_seeds()
    seen: Counter[int] = Counter()
    for first in range(numbers.start, numbers.stop, WIDTH):
        some = range(first, min(first + WIDTH, numbers.stop))
        talks = [generate(seed, number, seeds) for number in some]
        converse(server.port, talks)
        for talk in talks:
            if talk.leaves:
                continue
            try:
                seen.update(judge(talk))
            except WrongAnswerError as error:
                which = f"talk {talk.number} of seed {seed}, in pieces: {talk.pieces!r}"
                raise WrongAnswerError(f"{error}\n{which}") from None
        if server.get("/").status != 200:
            raise WrongAnswerError(f"after talks {some} the server does not serve")
    return seen


def main() -> None:
    """Run as a command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.mutate")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", type=int, help="this talk alone, and what comes back")
    parser.add_argument("--driver", default="reactor")
    parser.add_argument("--loop", default="auto")
    options = parser.parse_args()
    server = Server(
        "tests.hostile.mutate:app",
        access_log=False,
        lifespan="off",
        loop=options.loop,
        driver=options.driver,
    ).wait_until_ready()
    start = time.monotonic()
    try:
        if options.only is not None:
            talk = generate(options.seed, options.only, all_seeds())
            converse(server.port, [talk])
            for piece in talk.pieces:
                print(f"> {piece!r}")
            print(f"< {bytes(talk.received)!r}")
            print(judge(talk))
            return
        memory, descriptors = server.memory(), server.descriptors()
        seen = play(server, options.seed, range(options.count))
        server.check()
        faults = server.lines("Traceback|Exception")
        print(f"seed {options.seed}: {options.count} in {time.monotonic() - start:.0f} s")
        print("statuses", dict(sorted(seen.items())))
        print(f"memory +{(server.memory() - memory) >> 10} KiB", end=", ")
        print(f"descriptors {descriptors} -> {server.descriptors()}")
        if faults:
            sys.exit("\n".join(server.log[:100]))
    finally:
        server.kill()


if __name__ == "__main__":
    main()
