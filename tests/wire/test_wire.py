"""The wire cases against a running server: what an application and a client see.

`cargo test` plays the same files through the parser, cut in every way. Here each is sent at once,
over a socket, to each driver: the statuses, what the application was given, and whether the
connection goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.wire.cases import Case, all_cases
from tests.wire.client import Connection, Responses

CASES = all_cases()

TRAILING = b"GET /trailing HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"


def play(port: int, case: Case) -> Responses:
    """Do what the client of the case does, and see how the connection goes on."""
    requests = [line for line in case.events if line.split()[0] in ("request", "refuse")]
    heads = [line.startswith("request HEAD ") for line in requests]
    connection = Connection(port, heads)
    with connection.socket:
        for act in case.acts:
            if isinstance(act, bytes):
                connection.send(act)
            elif act == "wait":
                before = len(Responses(connection.data, heads).statuses)
                connection.read_until(lambda seen: len(seen.statuses) > before)  # noqa: B023
            else:
                connection.end()
        wanted = len(case.statuses)
        if case.after == "keep":
            connection.read_until(lambda seen: len(seen.statuses) >= wanted)
            assert connection.open, f"the connection ended after {connection.data!r}"
            connection.send(TRAILING)
        elif case.after == "wait":
            # Whatever the server has to say to what is incomplete, it says when no more can come.
            connection.end()
        seen = connection.read_until(lambda seen: False)
    assert seen.whole, f"a response is cut: {connection.data!r}"
    return seen


@pytest.mark.parametrize("driver", ["reactor", "protocol"])
@pytest.mark.parametrize("name", CASES)
def test_case(name: str, driver: str, shared_server: Callable[..., Any]) -> None:
    case = CASES[name]
    app = "tests.wire.app:early" if case.early else "tests.wire.app:reads"
    seen = play(shared_server(app, driver=driver).port, case)

    wanted = list(case.statuses)
    told = case.seen_by_application()
    if case.after == "keep":
        wanted.append(200)
        told.append(["request GET /trailing 1.1", "field host: t", "field connection: close"])
        told[-1] += [] if case.early else ["end"]
    assert seen.statuses == wanted

    final = [status for status in wanted if status >= 200]
    for status, fields, body in zip(final, seen.fields, seen.bodies, strict=True):
        if status != 200:
            assert fields[b"content-type"] == b"text/plain; charset=utf-8"
            assert re.fullmatch(rb"[A-Za-z0-9 ,./()-]+", body), "a clause, and nothing of the input"
            continue
        lines = told.pop(0)
        if lines[0].startswith("request HEAD "):
            continue
        got = json.loads(body)
        if not any(line.startswith("field ") for line in lines):
            got = [line for line in got if not line.startswith("field ")]
        assert got == lines
    assert not told, f"the application was to get {told}"
    if case.after == "close" and seen.fields and not case.early and "eof" not in case.acts:
        assert seen.fields[-1][b"connection"] == b"close"
