"""Threads that run WSGI applications: how many, and what never holds one."""

from __future__ import annotations

import json
import selectors
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conftest import StartServer
from tests.hostile.test_floods import wait_until
from tests.support.client import Client, request
from tests.support.server import PATIENCE, Server
from tests.wsgi.conftest import Serve

APP = "tests.apps.wsgi_threads:app"
SIZE = 6 << 20


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    """Connections that are closed at the end."""
    opened: list[Client] = []
    yield opened
    for client in opened:
        client.close()


def slow_reader(server: Server) -> Client:
    """Open a connection that takes little before it is read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect((server.host, server.port))
    return Client(sock)


def answered(clients: list[Client], count: int) -> list[Client]:
    """Wait until so many of the clients have something to read, and return them."""
    found: list[Client] = []
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
        while len(found) < count:
            ready = selector.select(PATIENCE)
            assert ready, f"{len(found)} of {count} were answered"
            for key, _ in ready:
                selector.unregister(key.fileobj)
                found.append(key.data)
    return found


def expect_seen(server: Server) -> None:
    """Wait until the server has read what was sent to it before."""
    with server.connect() as client:
        # It answers this itself, with no thread.
        client.send(b"no request\r\n\r\n")
        assert client.rest().startswith(b"HTTP/1.1 400 ")


# How many


def test_as_many_run_at_once_as_there_are_threads(fresh: Serve, clients: list[Client]) -> None:
    server = fresh(APP, threads=10)
    for _ in range(3):
        clients[:] = [server.connect() for _ in range(10)]
        for client in clients:
            client.request("GET", "/ten")
        for client in clients:
            assert client.response().text == "ten were here"
            client.close()


@pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)(), reason="the interpreter has its lock"
)
def test_without_the_interpreter_s_lock_threads_run_in_parallel(
    fresh: Serve, clients: list[Client]
) -> None:
    server = fresh(APP, threads=2)
    assert server.get("/gil").text == "False"
    clients += [server.connect() for _ in range(2)]
    for client in clients:
        client.request("GET", "/two_spin")
    for client in clients:
        assert client.response().text == "2 were here"
    assert server.get("/gil").text == "False"


def test_no_more_run_at_once(fresh: Serve, clients: list[Client], tmp_path: Path) -> None:
    server = fresh(APP, threads=3)
    with ThreadPoolExecutor(12) as threads:
        most = [int(each.text) for each in threads.map(server.get, ["/counted"] * 60)]
    assert max(most) <= 3
    gate = tmp_path / "gate"
    clients += [server.connect() for _ in range(8)]
    for client in clients:
        client.request("GET", f"/held?{gate}")
    server.wait_for_count("^NOTE held$", 3)
    gate.touch()
    for client in clients:
        assert client.response().text == "held"


def test_a_single_thread(fresh: Serve) -> None:
    server = fresh(APP, threads=1)
    with ThreadPoolExecutor(6) as threads:
        answers = {each.text for each in threads.map(server.get, ["/counted"] * 30)}
    assert answers == {"1"}


def test_a_single_thread_is_told_to_the_application(fresh: Serve) -> None:
    server = fresh("tests.apps.wsgi_requests:app", threads=1)
    assert server.get("/server_variables").json()["multithread"] is False


def test_the_application_runs_in_no_main_thread(fresh: Serve) -> None:
    server = fresh(APP, threads=2)
    assert {server.get("/name").text.split()[0] for _ in range(10)} == {"False"}


@pytest.mark.parametrize("threads", ["0", "-1", "many"])
def test_a_number_that_is_none_is_refused(threads: str) -> None:
    server = Server(APP, threads=threads)
    try:
        assert server.wait() == 2
        assert server.lines("--threads")
    finally:
        server.kill()


def test_the_number_is_each_workers(fresh: Serve, clients: list[Client], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = fresh(APP, threads=1, workers=2)
    serving: set[str] = set()
    while len(serving) < 2:
        serving.add(server.get("/pid").text)
    # However the connections fall to the workers, each of them holds one request at once.
    clients += [server.connect() for _ in range(16)]
    for client in clients:
        client.request("GET", f"/held?{gate}")
    server.wait_for_count("^NOTE held", 2)
    assert len(server.lines("^NOTE held")) == 2
    gate.touch()
    for client in clients:
        assert client.response().text == "held"


# Slow clients


@pytest.mark.parametrize("how", ["length", "chunked", "head"])
def test_clients_that_write_slowly_hold_no_thread(
    fresh: Serve, clients: list[Client], how: str
) -> None:
    server = fresh(APP, threads=2)
    head = b"POST /length HTTP/1.1\r\nhost: a\r\n"
    begun, rest = {
        "length": (head + b"content-length: 10\r\n\r\n01234", b"56789"),
        "chunked": (
            head + b"transfer-encoding: chunked\r\n\r\n5\r\n01234\r\n",
            b"5\r\n56789\r\n0\r\n\r\n",
        ),
        "head": (head, b"content-length: 10\r\n\r\n0123456789"),
    }[how]
    clients += [server.connect() for _ in range(12)]
    for client in clients:
        client.send(begun)
    for _ in range(5):
        with server.connect() as good:
            assert good.post("/length", b"good").text == "4"
            assert good.get("/").text == "ok"
    for client in reversed(clients):
        client.send(rest)
        assert client.response().text == "10"


@pytest.mark.parametrize("app", ["app", "bare"])
@pytest.mark.parametrize("path", ["/large", "/large_in_portions"])
def test_clients_that_read_slowly_hold_no_thread(
    fresh: Serve, clients: list[Client], app: str, path: str
) -> None:
    server = fresh(f"tests.apps.wsgi_threads:{app}", threads=2)
    clients += [slow_reader(server) for _ in range(12)]
    for client in clients:
        client.request("GET", path)
    # Each response has begun, and none is at its end.
    heads = [client.head() for client in clients]
    for _ in range(5):
        with server.connect() as good:
            assert good.get(path).body == bytes(SIZE)
            assert good.get("/").text == "ok"
    for client, head in zip(clients, heads, strict=True):
        assert client.body(head).body == bytes(SIZE)


def test_connections_that_idle_hold_no_thread(fresh: Serve, clients: list[Client]) -> None:
    server = fresh(APP, threads=1)
    clients += [server.connect() for _ in range(12)]
    for client in clients:
        assert client.get("/").text == "ok"
    for client in reversed(clients):
        assert client.get("/").text == "ok"


# The queue


def test_a_full_queue_is_503(fresh: Serve, clients: list[Client], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = fresh(APP, threads=1, wsgi_queue=3)
    clients += [server.connect() for _ in range(10)]
    clients[0].request("GET", f"/held?{gate}")
    server.wait_for("^NOTE held$")
    for client in clients[1:]:
        client.request("GET", "/")
    # One runs and three wait.
    refused = answered(clients, 6)
    for client in refused:
        response = client.response()
        assert (response.status, response.reason) == (503, "Service Unavailable")
        assert int(response["retry-after"]) > 0
        assert "held" not in response.text
    gate.touch()
    assert clients[0].response().text == "held"
    for client in clients[1:]:
        if client not in refused:
            assert client.response().text == "ok"
    # It is over.
    assert server.get("/").text == "ok"


def test_a_refused_request_with_a_body(fresh: Serve, clients: list[Client], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = fresh(APP, threads=1, wsgi_queue=1)
    clients += [server.connect() for _ in range(4)]
    clients[0].request("GET", f"/held?{gate}")
    server.wait_for("^NOTE held$")
    for client in clients[1:]:
        client.request("POST", "/length", body=b"x" * 1000)
    for client in (refused := answered(clients, 2)):
        assert client.response().status == 503
    gate.touch()
    assert clients[0].response().text == "held"
    (waited,) = set(map(id, clients[1:])) - set(map(id, refused))
    assert next(each for each in clients if id(each) == waited).response().text == "1000"


def test_who_waits_is_served_in_order(fresh: Serve, clients: list[Client], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = fresh(APP, threads=1)
    clients += [server.connect() for _ in range(20)]
    clients[0].request("GET", f"/held?{gate}")
    server.wait_for("^NOTE held$")
    for client in clients[1:]:
        client.request("GET", "/")
    gate.touch()
    for client in clients:
        assert client.response().status == 200


def test_a_pipeline_waits_for_a_thread_too(fresh: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = fresh(APP, threads=1, wsgi_queue=1)
    with server.connect() as client:
        client.send(request("GET", f"/held?{gate}") + request("GET", "/") * 5)
        server.wait_for("^NOTE held$")
        gate.touch()
        assert client.response().text == "held"
        # One after the other: none of them overfills the queue.
        assert [client.response().text for _ in range(5)] == ["ok"] * 5


# Clients that leave


@pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["fin", "rst"])
def test_an_application_can_ask_whether_its_client_left(fresh: Serve, leave: object) -> None:
    server = fresh(APP)
    client = server.connect()
    client.request("GET", "/until_gone")
    server.wait_for("^NOTE waits False$")
    leave(client)  # type: ignore[operator]
    server.wait_for("^NOTE gone True$")
    assert server.get("/").text == "ok"


def test_a_client_that_stays_has_not_left(fresh: Serve) -> None:
    server = fresh(APP)
    with server.connect() as client:
        for _ in range(3):
            assert client.get("/still_there").text == "FalseFalse"
        # A request that follows is no end.
        client.send(request("GET", "/still_there") + request("GET", "/"))
        assert client.response().text == "FalseFalse"
        assert client.response().text == "ok"


def test_a_client_that_leaves_the_queue_gives_up_its_place(
    fresh: Serve, clients: list[Client], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    server = fresh(APP, threads=1, wsgi_queue=50)
    clients += [server.connect()]
    clients[0].request("GET", f"/held?{gate}")
    server.wait_for("^NOTE held$")
    before = server.descriptors()
    for _ in range(20):
        leaving = server.connect()
        leaving.request("GET", f"/held?{tmp_path / 'never'}")
        leaving.reset()
    expect_seen(server)
    wait_until(lambda: server.descriptors() <= before)
    clients += [server.connect()]
    clients[1].request("GET", "/")
    gate.touch()
    assert clients[0].response().text == "held"
    # Who left would hold the only thread for ever.
    assert clients[1].response().text == "ok"


def test_a_client_that_ends_its_side_in_the_queue_is_answered(
    fresh: Serve, clients: list[Client], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    server = fresh(APP, threads=1)
    clients += [server.connect(), server.connect()]
    clients[0].request("GET", f"/held?{gate}")
    server.wait_for("^NOTE held$")
    clients[1].request("GET", "/large_in_portions")
    clients[1].shutdown()
    expect_seen(server)
    gate.touch()
    assert clients[0].response().text == "held"
    assert len(clients[1].response().body) == SIZE


def test_an_idle_connection_keeps_no_file(fresh: Serve, clients: list[Client]) -> None:
    server = fresh(APP, threads=1)
    clients += [slow_reader(server)]
    clients[0].request("GET", "/")
    assert clients[0].response().text == "ok"
    before = server.descriptors()
    clients[0].request("GET", "/large_in_portions")
    # The application has given everything to the file when somebody else is served.
    assert server.get("/").text == "ok"
    assert len(clients[0].response().body) == SIZE
    wait_until(lambda: server.descriptors() <= before)


# The end


def test_a_request_under_way_is_finished_at_the_end(
    fresh: Serve, clients: list[Client], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    server = fresh(APP, threads=2)
    clients += [server.connect() for _ in range(6)]
    for client in clients:
        client.request("GET", f"/held?{gate}")
    server.wait_for_count("^NOTE held", 2)
    expect_seen(server)
    server.process.terminate()
    server.wait_for("Shutting down")
    gate.touch()
    # Those that wait for a thread had arrived before the end was asked for.
    for client in clients:
        response = client.response()
        assert (response.status, response.text) == (200, "held")
        assert response["connection"] == "close"
    server.wait()
    assert not server.lines("Traceback")


def test_the_end_is_heard_whatever_a_thread_is_at(
    server: StartServer, clients: list[Client], tmp_path: Path
) -> None:
    gate, log_gate = tmp_path / "gate", tmp_path / "log_gate"
    log = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "err": {"class": "logging.StreamHandler"},
            "gated": {"()": "tests.apps.gated_log.GatedHandler", "gate": str(log_gate)},
        },
        "root": {"handlers": ["err"], "level": "INFO"},
        "loggers": {
            "uvicorn.error": {"handlers": ["gated"]},
            "uvicorn.access": {"level": "INFO"},
        },
    }
    config = tmp_path / "log.json"
    config.write_text(json.dumps(log))
    running = server(APP, threads=2, log_config=config, timeout_keep_alive=0)
    clients += [running.connect() for _ in range(3)]
    held, idle, wrong = clients
    held.request("GET", f"/held?{gate}")
    running.wait_for("^NOTE held$")
    assert idle.get("/").text == "ok"
    # Whoever sees to the sockets writes that into the log, and is stuck there.
    wrong.send(b"no request\r\n\r\n")
    running.wait_for("^NOTE warned")
    running.process.terminate()
    running.wait_for("Shutting down")
    # The other thread has nothing to do when it has answered, and looks what there is.
    gate.touch()
    running.wait_for("GET /held")
    log_gate.touch()
    assert held.response().text == "held"
    assert idle.rest() == b""
    running.wait()
