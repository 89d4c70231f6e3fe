"""Records as JSON: whatever they hold, their line can be parsed."""

from __future__ import annotations

import json
import logging
import math
import random
import re
import sys
from typing import Any

import pytest

from ferricorn.json_lines import JSONFormatter


def line(**fields: Any) -> str:
    usual = {"name": "uvicorn.error", "levelname": "INFO", "msg": "text", "created": 1.5}
    return JSONFormatter().format(logging.makeLogRecord({**usual, **fields}))


def test_a_line() -> None:
    assert json.loads(line(msg="%s of %d", args=("one", 2))) == {
        "time": "1970-01-01T00:00:01.500000Z",
        "level": "INFO",
        "logger": "uvicorn.error",
        "message": "one of 2",
    }


def test_an_exception_and_a_stack() -> None:
    try:
        raise LookupError("lost\n\x1b")
    except LookupError:
        found = json.loads(line(exc_info=sys.exc_info(), stack_info="Stack:\n  here"))
    assert found["traceback"].startswith("Traceback (most recent call last):\n")
    assert found["traceback"].endswith("LookupError: lost\n\x1b")
    assert found["stack"] == "Stack:\n  here"


class Strange:
    def __repr__(self) -> str:
        return "<strange \ud800>"


class Hopeless:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, 1),
        (None, None),
        ({"a": [1, "é"]}, {"a": [1, "é"]}),
        (math.nan, "nan"),
        ([math.inf], "[inf]"),
        (b"x\xff", "b'x\\xff'"),
        (Strange(), "<strange \ufffd>"),
        ({"\udcff": 1}, {"\ufffd": 1}),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_what_callers_add(value: Any, shown: Any) -> None:
    assert json.loads(line(added=value))["added"] == shown


def test_what_cannot_be_shown() -> None:
    assert "Hopeless object" in json.loads(line(added=Hopeless()))["added"]
    loop: list[Any] = []
    loop.append(loop)
    assert json.loads(line(added=loop))["added"] == "[[...]]"


def test_callers_replace_nothing() -> None:
    found = json.loads(line(level="mine", time="mine", color_message="\x1b[1mtext\x1b[0m"))
    assert (found["level"], found["time"][:4]) == ("INFO", "1970")
    assert "color_message" not in found


def test_an_access_line_is_passed_on() -> None:
    assert line(access_line='{"made": "before"}') == '{"made": "before"}'


def test_any_text_becomes_one_line_of_ascii() -> None:
    source = random.Random(8259)
    for _ in range(500):
        text = "".join(
            chr(source.choice([source.randrange(128), source.randrange(0xD700, 0x110000)]))
            for _ in range(20)
        )
        made = line(msg=text.replace("%", "%%"), added={text: text})
        assert re.fullmatch("[ -~]+", made)
        sane = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        found = json.loads(made)
        assert found["added"] == {sane: sane}
