"""Context variables: a thread's stay from one request to the next, unless each has a context."""

from __future__ import annotations

import pytest
from tests.support.server import Server
from tests.wsgi.conftest import Serve

APP = "tests.apps.wsgi_contexts:app"


@pytest.fixture
def kept(fresh: Serve) -> Server:
    return fresh(APP, threads=1)


@pytest.fixture
def reset(served: Serve) -> Server:
    return served(APP, threads=1, reset_contextvars=True)


def test_a_thread_keeps_its_own(kept: Server) -> None:
    with kept.connect() as client:
        seen = [client.get(f"/show?{number}").text for number in range(3)]
    assert seen == ["unset", "0", "1"]


def test_each_request_has_its_own(reset: Server) -> None:
    with reset.connect() as client:
        for number in range(3):
            assert client.get(f"/show?{number}").text == "unset"
    assert reset.get("/show").text == "unset"


def test_pipelined_requests_have_theirs(reset: Server) -> None:
    with reset.connect() as client:
        for number in range(20):
            client.request("GET", f"/show?{number}")
        assert {client.response().text for _ in range(20)} == {"unset"}


def test_all_parts_of_a_response_are_in_the_same(reset: Server) -> None:
    assert reset.get("/parts?mine").text == "mine\n" * 3
    reset.wait_for("NOTE closed with mine")
    assert reset.get("/show").text == "unset"


def test_one_that_fails_leaves_nothing(reset: Server) -> None:
    assert reset.get("/fail").status == 500
    assert reset.get("/show").text == "unset"


def test_many_threads_do_not_mix_theirs(served: Serve) -> None:
    server = served(APP, reset_contextvars=True)
    for number in range(20):
        assert server.get(f"/parts?{number}").text == f"{number}\n" * 3
        assert server.get("/show?x").text == "unset"
