"""The example answers, on each loop with each driver: the first thing to look at when all fails."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.server import Server


def test_the_example_says_what_it_was_asked(
    shared_server: Callable[..., Server], everywhere: dict[str, str]
) -> None:
    response = shared_server("tests.apps.example:app", **everywhere).get("/a%20b?c=d", ("X-E", "f"))
    assert response.json() == {
        "method": "GET",
        "path": "/a b",
        "query": "c=d",
        "headers": [["host", "test"], ["x-e", "f"]],
    }
