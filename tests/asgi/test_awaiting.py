"""What `receive()` and `send()` return is a coroutine to whoever looks, waits or gives up."""

from __future__ import annotations

import ast

import pytest
from tests.conftest import DRIVERS, StartServer
from tests.support.server import Server

APP = "tests.apps.awaiting:app"


@pytest.fixture
def fresh(server: StartServer, everywhere: dict[str, str]) -> Server:
    return server(APP, **everywhere)


@pytest.fixture
def here(shared_server: StartServer, everywhere: dict[str, str]) -> Server:
    return shared_server(APP, **everywhere)


def test_they_look_like_coroutines_and_functions_that_give_them(here: Server) -> None:
    assert ast.literal_eval(here.get("/what_they_are").text) == {
        "iscoroutine": [True, True],
        "isfuture": [False, False],
        "isawaitable": [True, True],
        "Awaitable": [True, True],
        "Coroutine": [True, True],
        "callable": [True, True],
        "iscoroutinefunction": [True, True],
    }


def test_only_the_server_makes_them(here: Server) -> None:
    assert here.get("/others_of_their_kind").json() == 2


def test_tasks_and_futures(fresh: Server) -> None:
    with fresh.connect() as client:
        client.request("POST", "/tasks_and_futures", ("transfer-encoding", "chunked"))
        for count in range(10):
            client.chunk(b"x")
            fresh.notes("got", count + 1)
        response = client.response()
    assert response.body == b"body" * 6 + b"x" * 10


def test_a_thread_may_receive_and_send(here: Server) -> None:
    body = bytes(range(256)) * 2000
    with here.connect() as client:
        assert client.post("/from_a_thread", body).body == body


def test_several_threads_may_send_at_once(here: Server) -> None:
    body = here.get("/made_here_run_in_a_thread_s_loop").body
    assert sorted(body) == sorted(b"0123" * 50_000)


def test_another_loop_may_send(server: StartServer, everywhere: dict[str, str]) -> None:
    """Also where asyncio looks closely who calls it from where."""
    fresh = server(APP, env={"PYTHONASYNCIODEBUG": "1"}, **everywhere)
    for _ in range(3):
        assert fresh.get("/on_another_loop").text == "from another loop"
        assert fresh.get("/after_a_moment").text == "after a moment"


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_loop_may_run_within_itself(server: StartServer, driver: str) -> None:
    pytest.importorskip("nest_asyncio", reason="does not know this Python")
    fresh = server(APP, driver=driver, loop="asyncio")
    assert fresh.get("/nested").text == "nested"
    with fresh.connect() as client, fresh.connect() as other:
        client.request("GET", "/nested?wait")
        fresh.notes("nested")
        assert other.get("/after_a_moment").text == "after a moment"
        assert fresh.get("/pass/nested").status == 200
        assert client.response().text == "nested"
    assert not fresh.lines("cannot enter context|Traceback")


def test_an_error_of_a_thread_s_send_is_the_thread_s(here: Server) -> None:
    text = "Expected ASGI message 'http.response.start', but got 'http.response.body'."
    assert here.get("/wrong_from_a_thread").text == text


def test_a_receive_that_is_not_awaited_takes_nothing(here: Server) -> None:
    with here.connect() as client:
        assert client.post("/not_awaited", b"all of it").body == b"all of it"


def test_a_receive_that_was_cancelled_took_nothing(fresh: Server) -> None:
    with fresh.connect() as client:
        client.request("POST", "/cancelled_waits", ("content-length", "4"))
        assert fresh.notes("all cancelled")
        client.send(b"body")
        assert client.response().json() == [100, "body", False]


def test_timeouts(here: Server) -> None:
    means = ["wait_for", "timeout", "move_on_after", "task group", "wait 0 1"]
    assert here.get("/timeouts").json() == means


def test_a_generator_closed_before_the_end_took_no_more_than_it_gave(fresh: Server) -> None:
    with fresh.connect() as client:
        client.request("POST", "/generator", ("content-length", "6"))
        client.send(b"abc")
        fresh.notes("generator closed")
        client.send(b"def")
        first, rest = client.response().json()
    assert first + rest == "abcdef"


def test_they_can_be_driven_by_hand(here: Server) -> None:
    outcomes = ["http.request", None, True, "KeyError('thrown')"]
    assert ast.literal_eval(here.get("/by_hand").text) == outcomes


def test_a_send_that_was_given_up_was_sent_once(fresh: Server) -> None:
    with fresh.connect() as client:
        client.request("GET", "/blocked_send_given_up")
        fresh.notes("send given up")
        fresh.get("/pass/send on".replace(" ", "%20"))
        body = client.response().body
    assert body == b"".join(bytes([number]) * 1_000_000 for number in range(40))


def test_callables_kept_beyond_their_request_do_not_touch_the_next(fresh: Server) -> None:
    with fresh.connect() as client:
        assert client.get("/outlives_its_request").body == b"ok"
        kind, outcome = client.get("/use").json()[0]
        assert kind == "http.disconnect"
        assert "after response already completed" in outcome
        assert client.get("/").body == b"ok"
