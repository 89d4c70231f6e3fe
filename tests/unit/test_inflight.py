"""The table of what a process still does."""

from __future__ import annotations

from typing import Any

from ferricorn.inflight import table


def scope(**changes: Any) -> dict[str, Any]:
    return {
        "client": ("127.0.0.1", 5000),
        "method": "GET",
        "path": "/a",
        "query_string": b"",
        **changes,
    }


def test_the_oldest_comes_first_and_columns_are_straight() -> None:
    rows: list[Any] = [
        (0.25, "response streaming", scope(path="/longer/path", query_string=b"q=1"), None),
        (12.34, "request head incomplete", None, ("::1", 70)),
        (3.0, "waits for the application", scope(client=None), None),
    ]
    assert table(rows).splitlines() == [
        "seconds  client          request               state",
        "   12.3  ::1:70          -                     request head incomplete",
        "    3.0  -               GET /a                waits for the application",
        "    0.2  127.0.0.1:5000  GET /longer/path?q=1  response streaming",
    ]


def test_it_has_a_last_row() -> None:
    rows: list[Any] = [(float(n), "response streaming", scope(), None) for n in range(23)]
    lines = table(rows).splitlines()
    assert len(lines) == 22
    assert lines[1].startswith("   22.0")
    assert lines[-1] == "... and 3 more"


def test_a_cell_has_an_end() -> None:
    row = (0.0, "response streaming", scope(path="/" + "a" * 70_000), None)
    assert max(map(len, table([row]).splitlines())) < 250


def test_no_character_gets_in_that_does_not_print() -> None:
    hostile = [
        scope(path="/\r\nERROR: \x1b[31m\u202e"),
        scope(query_string=b"a\r\nb\x1b\xff"),
        scope(method="GET\n\u202e"),
        scope(client=("\x1b[2J\n", 1)),
    ]
    text = table([(0.0, "response streaming", each, None) for each in hostile])
    assert text.replace("\n", "").isprintable()
    assert len(text.splitlines()) == 5
    assert "/%0D%0AERROR%3A" in text
    assert r"/a?a\r\nb\x1b\xff" in text


def test_a_scope_may_hold_anything() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    odd = [{}, scope(path=None), scope(client=5), scope(method=Broken())]
    lines = table([(1.0, "response streaming", each, None) for each in odd]).splitlines()
    assert [line.split()[1:3] for line in lines[1:]] == [
        ["-", "-"],
        ["127.0.0.1:5000", "?"],
        ["?", "GET"],
        ["127.0.0.1:5000", "?"],
    ]
