"""Random and mutated requests by the hundred thousand, and what may come back for them.

Each talk is a connection of its own and a function of seed and number alone, so that any can be
held again: noise, a case of `tests/wire` or a valid request with parts of it changed, or a pipeline
of valid requests. It is sent in pieces cut at random, many at once. What comes back must be whole
responses with a status from 200 to 599, then the end; for a valid pipeline, exactly the answers
due. The server must serve on, without a traceback, and keep no memory or descriptors.

    python -m tests.hostile.mutate --count 200000
    python -m tests.hostile.mutate --seed 7 --only 4711
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.support.server import Server
from tests.wire.app import early, manner
from tests.wire.cases import all_cases, as_lines
from tests.wire.client import Connection, Responses
from tests.wire.grammar import TROUBLE, Request, request, spoil

#: Connections at a time.
WIDTH = 32

#: Talks between two looks at whether the server still serves.
ROUND = 1000

#: Longer cases of the wire files are about limits; they would spend the time on copying.
LONGEST_CASE = 4096


@dataclass
class Talk:
    """What one client sends, and what it is due."""

    pieces: list[bytes]
    #: What the application is told, if it is known; its answers say it.
    told: list[list[str]] | None = None
    #: Leaves without reading: with an end of the connection, or a reset of it.
    leaves: str = ""


class WrongAnswerError(Exception):
    """What came back is not what may come back."""


# What is sent


def generate(seed: int, number: int, cases: list[bytes]) -> Talk:
    """Make the talk with this number."""
    rng = random.Random(f"{seed}/{number}")
    kind = rng.randrange(10)
    if kind <= 2:
        count = rng.randint(1, 8)
        requests = [
            request(
                rng,
                any_method=True,
                last=each == count - 1 and rng.random() < 0.5,
                longest_body=rng.choice([40, 3000]),
            )
            for each in range(count)
        ]
        # RFC 9112 section 2.2 has a server ignore an empty line before a request.
        data = b"".join(rng.choice([b"", b"", b"\r\n"]) + each.data for each in requests)
        return Talk(list(cut(rng, data)), [told(each) for each in requests])
    if kind == 3:
        data = rng.randbytes(rng.randint(1, 300))
    elif kind == 4:
        data = b"".join(rng.choices(TROUBLE, k=rng.randint(1, 30)))
    else:
        data = rng.choice(cases) if rng.random() < 0.7 else request(rng, any_method=True).data
        for _ in range(rng.randint(1, 5)):
            data = mutated(rng, data, cases)
    leaves = rng.choice(["end", "reset"]) if rng.random() < 0.15 else ""
    return Talk(list(cut(rng, data)), leaves=leaves)


def told(meant: Request) -> list[str]:
    """Say what the application is told of a valid request."""
    lines = as_lines(meant.method, meant.target, meant.fields, meant.body)
    if manner(meant.target.partition(b"?")[0]) is early:
        return [line for line in lines if line.startswith(("request ", "field "))]
    return lines


def mutated(rng: random.Random, data: bytes, cases: list[bytes]) -> bytes:
    """Change octets, or move, repeat and join parts."""
    at = rng.randint(0, len(data))
    end = at + rng.choice([1, 2, 4, 16, 64])
    match rng.randrange(8):
        case 0:
            return data[:end] + data[at:end] * rng.choice([1, 2, 100]) + data[end:]
        case 1:
            return data[:at] + data[at:end].swapcase() + data[end:]
        case 2:
            return data[:at] + rng.choice(cases)
        case 3:
            return rng.choice(cases) + data
        case 4:
            lines = data.split(b"\r\n")
            rng.shuffle(lines)
            return b"\r\n".join(lines)
        case _:
            return spoil(rng, data)


def cut(rng: random.Random, data: bytes) -> Iterator[bytes]:
    """Cut into the pieces that are sent."""
    while data:
        size = len(data) if rng.random() < 0.4 else rng.randint(1, max(1, len(data) // 3))
        yield data[:size]
        data = data[size:]


def all_sent() -> list[bytes]:
    """Return what the clients of the wire cases send."""
    sent = (b"".join(a for a in case.acts if isinstance(a, bytes)) for case in all_cases().values())
    # Who knows only the bytes cannot tell where a response to HEAD ends.
    return sorted({data for data in sent if len(data) <= LONGEST_CASE and b"HEAD" not in data})


# What comes back


def hold(port: int, talk: Talk) -> Responses | None:
    """Hold a talk up to the end of its connection, and return what came to who stayed."""
    connection = Connection(port, [])
    with connection.socket:
        for piece in talk.pieces:
            connection.send(piece)
        if talk.leaves == "reset":
            linger = struct.pack("ii", 1, 0)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if talk.leaves:
            return None
        connection.end()
        return connection.read_until(lambda seen: False)


def judge(talk: Talk, came: Responses | None) -> list[int]:
    """Return the statuses that came, or raise that what came may not."""
    if came is None:
        return []
    if not came.whole:
        raise WrongAnswerError(f"after {came.statuses} a response is cut")
    final = [status for status in came.statuses if status >= 200]
    if any(status > 599 for status in final):
        raise WrongAnswerError(f"no such statuses: {final}")
    if talk.told is not None:
        if final != [200] * len(talk.told):
            raise WrongAnswerError(f"{final} for {len(talk.told)} valid requests")
        if [json.loads(body) for body in came.bodies] != talk.told:
            raise WrongAnswerError(f"{came.bodies} do not say {talk.told}")
    return final


def play(server: Server, seed: int, numbers: range) -> Counter[int]:
    """Hold all these talks; return how often each status came."""
    cases = all_sent()
    port = server.port

    def attempt(number: int) -> list[int]:
        talk = generate(seed, number, cases)
        try:
            return judge(talk, hold(port, talk))
        except (AssertionError, OSError, ValueError, WrongAnswerError) as error:
            raise WrongAnswerError(
                f"talk {number} of seed {seed}: {error!r}\nsent: {talk.pieces!r}"
            ) from error

    seen: Counter[int] = Counter()
    with ThreadPoolExecutor(WIDTH) as pool:
        for first in range(numbers.start, numbers.stop, ROUND):
            some = range(first, min(first + ROUND, numbers.stop))
            for statuses in pool.map(attempt, some):
                seen.update(statuses)
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
        "tests.wire.app:sometimes",
        access_log=False,
        lifespan="off",
        loop=options.loop,
        driver=options.driver,
    ).wait_until_ready()
    try:
        if options.only is not None:
            talk = generate(options.seed, options.only, all_sent())
            print(*(f"> {piece!r}" for piece in talk.pieces), sep="\n")
            came = hold(server.port, talk)
            print(came and list(zip(came.statuses, came.bodies, strict=False)))
            print(judge(talk, came))
            return
        # What is made once, such as caches and buffers, is made before memory is measured.
        play(server, options.seed, range(options.count // 10))
        memory, descriptors = server.memory(), server.descriptors()
        start = time.monotonic()
        seen = play(server, options.seed, range(options.count))
        print(f"seed {options.seed}: {options.count} in {time.monotonic() - start:.0f} s")
        print("statuses", dict(sorted(seen.items())))
        print(f"memory +{(server.memory() - memory) >> 10} KiB", end=", ")
        print(f"descriptors {descriptors} -> {server.descriptors()}")
        server.stop()
        server.check()
        if server.lines("Traceback|Exception"):
            sys.exit("\n".join(server.log[:100]))
    finally:
        server.kill()


if __name__ == "__main__":
    main()
