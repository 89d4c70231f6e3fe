"""A running server, h11 and httptools on the same bytes.

Two promises. What the grammar allows, we accept and understand. What we accept of anything else,
h11 and httptools accept as well and understand in the same way, with the same borders between
requests: nobody who speaks through us smuggles a request past them. They may accept more.

FERRICORN_DIFFERENTIAL sets the number of attempts, FERRICORN_SEED another seed; it is fixed, so a
failure comes again.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.wire.cases import all_cases, as_lines, unescape
from tests.wire.client import Connection
from tests.wire.grammar import request, spoil
from tests.wire.oracles import Verdict, h11_reads, httptools_reads

ATTEMPTS = int(os.environ.get("FERRICORN_DIFFERENTIAL", "1500"))
SEED = os.environ.get("FERRICORN_SEED", "1")

# Where an oracle is stricter than the RFCs are, or stops for a reason that is not the bytes': what
# it says then, and what must be in the bytes.
Stops = list[tuple[str, bytes]]
H11_STOPS: Stops = [
    # It keeps no connection to an HTTP/1.0 client.
    ("close", rb"HTTP/1\.0\r\n"),
    # RFC 9112 section 2.2 has a server ignore an empty line before a request.
    ("no request line received", rb"(\A|\r\n|[^\n])\r\n"),
]
HTTPTOOLS_STOPS: Stops = [
    # It knows a list of methods.
    ("Invalid method encountered", rb""),
    ("Expected space after method", rb""),
    ("Expected HTTP/", rb""),
    # It hands over at an upgrade, which we do not make.
    ("upgrade", rb"(?i)\r\nupgrade:"),
    # It acts on Connection among the trailers, where we ignore it (RFC 9110 section 6.5.1).
    ("Data after `Connection: close`", rb"(?i)\n0+(;.*)?\r\n(.+\r\n)*connection:"),
    # It takes no HTAB behind a coding, where RFC 9110 section 5.6.3 allows one.
    ("invalid `Transfer-Encoding`", rb"(?i)\r\ntransfer-encoding:[ \t]*chunked *\t"),
]


def ask(port: int, data: bytes) -> list[list[str]]:
    """Send `data`, and give what the application was told of each request that was understood.

    That is nothing where an expectation is not met (417): the server answers, and goes on.
    """
    connection = Connection(port, [])
    with connection.socket:
        connection.send(data)
        connection.end()
        seen = connection.read_until(lambda seen: False)
    assert seen.whole, connection.data
    final = [status for status in seen.statuses if status >= 200]
    assert set(final[:-1]) <= {200, 417}, "nothing follows a refusal"
    pairs = zip(final, seen.bodies, strict=True)
    return [
        json.loads(body) if status == 200 else [] for status, body in pairs if status in (200, 417)
    ]


def compare(data: bytes, told: list[list[str]], verdict: Verdict, stops: Stops) -> None:
    """Hold what the application was told against what an oracle understood."""
    for number, lines in enumerate(told):
        if not lines:
            continue
        if number >= len(verdict.requests):
            stopped = (cause for error, cause in stops if error in verdict.error)
            assert any(re.search(cause, data) for cause in stopped), (
                f"only we accept request {number} of {data!r}: {verdict.error}"
            )
            return
        heard = verdict.requests[number]
        # The application is given the path of an absolute target, and its authority as Host.
        absolute = not heard.target.startswith(b"/") and heard.target != b"*"
        target = unescape(lines[0].split(" ")[2]) if absolute else heard.target
        if target.find(b"?") == len(target) - 1:
            # An application cannot tell an empty query from none.
            target = target[:-1]
        expected = as_lines(heard.method, target, heard.fields, heard.body)
        # h11 folds the case of a coding.
        coding = "field transfer-encoding: "
        expected = [line.lower() if line.startswith(coding) else line for line in expected]
        got = [line.lower() if line.startswith(coding) else line for line in lines]
        got[0] = got[0].rpartition(" ")[0] + " 1.1"
        if absolute:
            expected = [line for line in expected if not line.startswith("field host: ")]
            got = [line for line in got if not line.startswith("field host: ")]
        assert got == expected, f"request {number} of {data!r}"


@pytest.fixture
def port(shared_server: Callable[..., Any]) -> int:
    number: int = shared_server("tests.wire.app:reads").port
    return number


def test_what_the_grammar_allows_is_accepted_and_understood(port: int) -> None:
    rng = random.Random(f"accepted {SEED}")
    for _ in range(ATTEMPTS // 4):
        requests = [request(rng, any_method=True) for _ in range(rng.randint(1, 3))]
        data = b"".join(each.data for each in requests)
        expected = [as_lines(each.method, each.target, each.fields, each.body) for each in requests]
        assert ask(port, data) == expected, data


def test_what_is_accepted_is_understood_as_others_do(port: int) -> None:
    rng = random.Random(f"understood {SEED}")
    cases = [act for case in all_cases().values() for act in case.acts if isinstance(act, bytes)]
    cases = [case for case in cases if len(case) < 2000]
    accepted = 0
    for _ in range(ATTEMPTS):
        data = request(rng).data
        if rng.random() < 0.3:
            data = rng.choice(cases)
        if rng.random() < 0.95:
            data = spoil(rng, data)
        if rng.random() < 0.5:
            data += request(rng).data
        if b"HEAD " in data:
            # A client that knows only the bytes cannot tell where a response to HEAD ends.
            continue
        told = ask(port, data)
        accepted += bool(told)
        compare(data, told, h11_reads(data), H11_STOPS)
        compare(data, told, httptools_reads(data), HTTPTOOLS_STOPS)
    assert accepted > ATTEMPTS // 10, "most of what is spoilt is refused, and not all"
