"""The user's format, taken apart."""

from __future__ import annotations

import os

import pytest

from ferricorn import Config
from ferricorn.access_format import NAMED, access_format


def segments(text: str) -> list[bytes | tuple[str, str]]:
    return [segment for segment in access_format(text, json=False).segments if segment]


def test_text_and_atoms() -> None:
    assert segments("a%(h)s b%%%(U)s%({X-Y}i)s%({Date}o)sé\t") == [
        *(b"a", ("h", ""), b" b", b"%", ("U", ""), ("i", "x-y"), ("o", "date"), "é\t".encode()),
    ]


def test_what_a_process_knows_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ATOM", "a\n\\é")
    monkeypatch.delenv("TEST_NONE", raising=False)
    assert segments("%(p)s%(l)s") == [b"<%d>" % os.getpid(), b"-"]
    assert segments("%({TEST_ATOM}e)s%({TEST_NONE}e)s") == [rb"a\x0a\x5c\xc3\xa9", b"-"]


def test_names_of_formats() -> None:
    assert segments("combined") == segments(NAMED["combined"])
    assert segments("common") == segments(NAMED["combined"])[: len(segments("common"))]
    assert segments("Common") == [b"Common"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("%(x)s", "no atom 'x'"),
        ("%()s", "no atom ''"),
        ("%(hh)s", "no atom 'hh'"),
        ("%({x})s", r"'%\(\{x\}\)s' begins no"),
        ("%({x}z)s", "begins no"),
        ("%({}i)s", "begins no"),
        ("%(h)", r"'%\(h\)' begins no"),
        ("%(h)d", "begins no"),
        ("%(h", "begins no"),
        ("%h", "'%h' begins no"),
        ("100%", "'%' begins no"),
        ("", "empty"),
        ("a\nb", "not printable"),
        ("a\x1b[0m", "not printable"),
        ("a\u2028", "not printable"),
    ],
)
def test_what_is_malformed(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        access_format(text, json=False)


def test_a_complaint_lists_what_there_is() -> None:
    with pytest.raises(
        ValueError, match=r"h, u, t, .*peer, request_id.*\{header\}i.*\{variable\}e"
    ):
        access_format("%(nonsense)s", json=False)


def test_lines_are_uvicorns_unless_something_else_is_wanted() -> None:
    assert Config("m:a").access_format() is None
    in_json = Config("m:a", log_format="json").access_format()
    assert in_json is not None
    assert in_json.json
    assert ("client_addr", "") in in_json.segments


def test_each_process_begins_its_ids_in_its_own_way() -> None:
    prefixes = {access_format("x", json=False).prefix for _ in range(10)}
    assert len(prefixes) == 10
