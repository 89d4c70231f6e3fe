"""Context variables and state: the lifespan's are seen by requests, no request's by another one."""

from __future__ import annotations

import pytest
from tests.conftest import StartServer
from tests.support.server import Server

APP = "tests.apps.contexts:app"

FRESH = ["from the lifespan", "unset"]


@pytest.fixture
def here(shared_server: StartServer, everywhere: dict[str, str]) -> Server:
    return shared_server(APP, **everywhere)


@pytest.fixture
def fresh(server: StartServer, everywhere: dict[str, str]) -> Server:
    return server(APP, **everywhere)


def test_requests_of_a_connection(here: Server) -> None:
    with here.connect() as client:
        for number in range(3):
            assert client.get(f"/show/{number}").json() == FRESH


def test_requests_of_several_connections(here: Server) -> None:
    for number in range(3):
        assert here.get(f"/show/{number}").json() == FRESH


def test_pipelined_requests(here: Server) -> None:
    with here.connect() as client:
        client.send(b"".join(b"GET /show/%d HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in range(20)))
        for _ in range(20):
            assert client.response().json() == FRESH


def test_requests_that_run_at_the_same_time(fresh: Server) -> None:
    clients = [fresh.connect() for _ in range(10)]
    for number, client in enumerate(clients):
        client.request("GET", f"/show_after_wait/{number}")
    fresh.notes("set", len(clients))
    for _ in clients:
        fresh.get("/pass/show")
    for number, client in enumerate(clients):
        seen = client.response().json()
        assert seen == ["from the lifespan", f"/show_after_wait/{number}"]
        client.close()


def test_children_of_a_request(here: Server) -> None:
    child, callback, thread, own = here.get("/show_in_children").json()
    assert child == ["from the lifespan", "the child's"]
    assert callback == thread == own == ["from the lifespan", "mine"]


def test_waits_keep_the_context(here: Server) -> None:
    with here.connect() as client:
        client.request("POST", "/show_while_receiving", ("transfer-encoding", "chunked"))
        for _ in range(3):
            client.chunk(b"piece")
            here.get("/show")
        client.chunk(b"")
        assert client.response().body == b"{'kept'}"


def test_reset_contextvars_hides_the_lifespan_s(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    server = shared_server(APP, reset_contextvars=True, **everywhere)
    with server.connect() as client:
        for _ in range(2):
            assert client.get("/show").json() == ["unset", "unset"]


def test_state_is_copied_for_each_request_and_what_is_in_it_is_not(fresh: Server) -> None:
    with fresh.connect() as client:
        assert client.get("/state/1").json() == [0, []]
        assert client.get("/state/2").json() == [0, ["/state/1"]]
    assert fresh.get("/state/3").json() == [0, ["/state/1", "/state/2"]]


def test_a_request_runs_in_a_task(here: Server) -> None:
    assert here.get("/task").text == "True True"
