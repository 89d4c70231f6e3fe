"""A server that is asked to end serves whom it has begun to serve (B71).

Each test brings a connection to one point of its life, asks for the end, and looks at what the
client gets: what had arrived is answered, with `connection: close`; what was idle ends at once;
nobody new gets in. A stopped process (SIGSTOP) is how a connection gets to wait in the backlog.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.conftest import DRIVERS, LOOPS
from tests.support.client import CutError, request
from tests.support.server import Server


@pytest.fixture(params=[(loop, driver) for loop in LOOPS for driver in DRIVERS], ids="-".join)
def ending(request: pytest.FixtureRequest, server: Callable[..., Server]) -> Server:
    """A server that is going to end."""
    loop, driver = request.param
    # Nothing here may be the work of a deadline.
    return server("tests.apps.lasting:app", loop=loop, driver=driver, timeout_keep_alive=60)


def ask_to_end(server: Server) -> None:
    server.send_signal(signal.SIGTERM)
    server.wait_for("Shutting down")


def end_of(server: Server) -> None:
    """Wait for the end, which is one by SIGTERM after everything was put away."""
    assert server.wait() == -signal.SIGTERM
    assert server.lines("Application shutdown complete")
    assert server.lines("Finished server process")
    assert not server.lines("Traceback|ERROR")


def test_an_idle_connection_ends_at_once(ending: Server) -> None:
    with ending.connect() as fresh, ending.connect() as kept:
        assert kept.get().status == 200
        ask_to_end(ending)
        assert kept.closed()
        assert fresh.closed()
        end_of(ending)


def test_nobody_new_gets_in(ending: Server, tmp_path: Path) -> None:
    """While an answer is still being made, connecting fails."""
    go = tmp_path / "go"
    with ending.connect() as client:
        client.request("GET", f"/waits_for?{go}")
        ending.notes("waits")
        ask_to_end(ending)
        ending.wait_for("Waiting for connections to close")
        with pytest.raises(ConnectionError):
            ending.connect()
        go.touch()
        assert client.response().text == "first-last"
        end_of(ending)


def test_a_request_that_is_being_answered_is_answered(ending: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with ending.connect() as client:
        client.request("GET", f"/waits_for?{go}")
        ending.notes("waits")
        ask_to_end(ending)
        go.touch()
        response = client.response()
        assert response.text == "first-last"
        assert response["connection"] == "close"
        assert client.closed()
        end_of(ending)


def test_a_response_that_has_begun_is_ended(ending: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with ending.connect() as client:
        client.request("GET", f"/waits_for/begun?{go}")
        response = client.head()
        assert client.exactly(5) == b"first"
        ask_to_end(ending)
        go.touch()
        assert client.exactly(5) == b"-last"
        assert response["content-length"] == "10"
        assert client.closed()
        end_of(ending)


@pytest.mark.parametrize(
    "cut", [1, 20, 60, -8, -1], ids=["a byte", "half a line", "half a head", "no body", "almost"]
)
def test_a_request_that_is_on_its_way_is_answered(ending: Server, cut: int) -> None:
    """Some of it had arrived before the end was asked for, the rest comes after."""
    data = request("POST", "/echo", ("x-header", "value" * 5), body=b"the body")
    with ending.connect() as early, ending.connect() as client:
        client.send(data[:cut])
        # An answer to another says that this part was read.
        assert early.get().status == 200
        ask_to_end(ending)
        client.send(data[cut:])
        response = client.response()
        assert response.text == "the body"
        assert response["connection"] == "close"
        assert client.closed()
        end_of(ending)


def test_requests_that_wait_in_sockets_are_answered(ending: Server) -> None:
    """They arrived on open connections while the process did nothing, then came the signal."""
    with ExitStack() as stack:
        clients = [stack.enter_context(ending.connect()) for _ in range(20)]
        for client in clients:
            assert client.get().status == 200
        ending.send_signal(signal.SIGSTOP)
        for client in clients:
            client.request("GET", "/")
        ending.send_signal(signal.SIGTERM)
        ending.send_signal(signal.SIGCONT)
        for client in clients:
            assert client.response().text == "hello"
            assert client.closed()
        end_of(ending)


@pytest.mark.parametrize("loop", LOOPS)
def test_connections_that_wait_to_be_accepted_are_answered(
    server: Callable[..., Server], loop: str
) -> None:
    """They stand in the backlog, their requests sent, when the signal comes.

    They are more than a turn of the loop takes, so that the end itself meets the last of them. With
    the other driver the event loop accepts, and the server hears of a connection when it is too
    late for some.
    """
    ending = server("tests.apps.lasting:app", loop=loop, driver="reactor", timeout_keep_alive=60)
    ending.get()
    ending.send_signal(signal.SIGSTOP)
    with ExitStack() as stack:
        clients = [stack.enter_context(ending.connect()) for _ in range(500)]
        for client in clients:
            client.request("GET", "/")
        ending.send_signal(signal.SIGTERM)
        ending.send_signal(signal.SIGCONT)
        for client in clients:
            assert client.response().text == "hello"
        end_of(ending)


def test_what_is_behind_the_last_response_is_not_served(ending: Server, tmp_path: Path) -> None:
    """After `connection: close` there is no further response, not even the start of one."""
    go = tmp_path / "go"
    with ending.connect() as client:
        client.send(request("GET", f"/waits_for?{go}") + request("GET", "/"))
        ending.notes("waits")
        ask_to_end(ending)
        go.touch()
        response = client.response()
        assert response.text == "first-last"
        assert response["connection"] == "close"
        assert client.closed()
        end_of(ending)


def test_a_client_that_stays_does_not_keep_the_server(ending: Server) -> None:
    """It does not close its side after its last response, and the server does not wait for it."""
    with ending.connect() as client:
        client.send(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n12345")
        assert client.response().text == "early"
        ask_to_end(ending)
        end_of(ending)
        with pytest.raises(CutError):
            client.response()


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_lines_of_a_graceful_end(
    server: Callable[..., Server], tmp_path: Path, driver: str
) -> None:
    """The application ends after its last response."""
    ending = server("tests.apps.lasting:app", driver=driver)
    go = tmp_path / "go"
    with ending.connect() as client:
        client.request("GET", f"/waits_for?{go}")
        ending.notes("waits")
        ask_to_end(ending)
        ending.wait_for("Waiting for connections to close")
        go.touch()
        assert client.response().status == 200
    end_of(ending)
    lines = [line.removeprefix("INFO:").strip() for line in ending.err]
    assert lines[lines.index("Shutting down") :] == [
        "Shutting down",
        "Waiting for connections to close. (CTRL+C to force quit)",
        "Waiting for application shutdown.",
        "Application shutdown complete.",
        f"Finished server process [{ending.pid}]",
    ]


def test_a_port_can_be_used_again_at_once(server: Callable[..., Server]) -> None:
    """Connections that the first server closed do not keep the second from the port."""
    first = server("tests.apps.lasting:app")
    with first.connect() as client:
        assert client.get("/", ("connection", "close")).status == 200
        assert client.closed()
    port = first.port
    first.stop(signal.SIGTERM)
    assert server("tests.apps.lasting:app", port=port).get().status == 200
