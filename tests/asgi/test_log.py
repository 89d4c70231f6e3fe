"""What the server writes about requests, to the letter: people parse it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import DRIVERS, StartServer
from tests.support.client import Client
from tests.support.server import ROOT, Server

APP = "tests.apps.sending:app"


def access_line(server: Server, head: bytes) -> str:
    """Send a request, and return its access line with the client's port as PORT."""
    with server.connect() as client:
        client.send(head)
        client.head()
        port = "" if server.uds else str(client.sock.getsockname()[1])
        line = server.wait_for(rf"^.*:{port} - .*$" if port else "^.*HTTP/.*$")[0]
    assert line in server.out
    assert line not in server.err
    return line.replace(f":{port} ", ":PORT ", 1) if port else line


@pytest.fixture
def here(shared_server: StartServer) -> Server:
    return shared_server(APP)


def test_an_access_line(shared_server: StartServer, everywhere: dict[str, str]) -> None:
    server = shared_server(APP, **everywhere)
    assert access_line(server, b"GET /?a=b HTTP/1.1\r\nhost: x\r\n\r\n") == (
        'INFO:     127.0.0.1:PORT - "GET /?a=b HTTP/1.1" 200 OK'
    )


@pytest.mark.parametrize(
    ("request_line", "logged"),
    [
        ("GET / HTTP/1.0", "GET / HTTP/1.0"),
        ("POST /nowhere HTTP/1.1", "POST /nowhere HTTP/1.1"),
        ("GET /nowhere/a%20b/%C3%A9 HTTP/1.1", "GET /nowhere/a%20b/%C3%A9 HTTP/1.1"),
        ("GET /nowhere/%7Euser%2Fx HTTP/1.1", "GET /nowhere/~user/x HTTP/1.1"),
        ("GET /nowhere?q=%20%C3%A9&+ HTTP/1.1", "GET /nowhere?q=%20%C3%A9&+ HTTP/1.1"),
        ("GET /nowhere/%0D%0A%1B%5B31m%22 HTTP/1.1", "GET /nowhere/%0D%0A%1B%5B31m%22 HTTP/1.1"),
        ("GET http://example.org/nowhere?x HTTP/1.1", "GET /nowhere?x HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS %2A HTTP/1.1"),
    ],
)
def test_request_lines(here: Server, request_line: str, logged: str) -> None:
    line = access_line(here, f"{request_line}\r\nhost: x\r\n\r\n".encode())
    assert line.split('"')[1] == logged


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nowhere", "404 Not Found"),
        ("/raises_at_once", "500 Internal Server Error"),
        ("/returns_at_once", "500 Internal Server Error"),
        ("/raises_within_body", "200 OK"),
    ],
)
def test_statuses(here: Server, path: str, status: str) -> None:
    line = access_line(here, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    assert line == f'INFO:     127.0.0.1:PORT - "GET {path} HTTP/1.1" {status}'


def test_a_status_without_a_phrase(here: Server) -> None:
    script = repr([{"type": "http.response.start", "status": 299}, {"type": "http.response.body"}])
    head = f"POST /script HTTP/1.1\r\nhost: x\r\ncontent-length: {len(script)}\r\n\r\n{script}"
    assert access_line(here, head.encode()) == (
        'INFO:     127.0.0.1:PORT - "POST /script HTTP/1.1" 299 '
    )


def test_the_root_path_is_a_part_of_the_path(shared_server: StartServer) -> None:
    server = shared_server(APP, root_path="/api")
    line = access_line(server, b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
    assert '"GET /api/nowhere HTTP/1.1"' in line


def test_a_client_of_a_unix_socket_has_no_name(server: StartServer, tmp_path: Path) -> None:
    running = server(APP, uds=tmp_path / "sock")
    assert access_line(running, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") == (
        'INFO:      - "GET / HTTP/1.1" 200 OK'
    )


def test_the_line_comes_when_the_response_starts(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    running = server(APP, **everywhere)
    with running.connect() as client:
        client.request("GET", "/step_by_step")
        running.wait_for('"GET /step_by_step HTTP/1.1" 200 OK')
        assert client.head().status == 200


def test_each_request_has_one_line(server: StartServer, everywhere: dict[str, str]) -> None:
    running = server(APP, **everywhere)
    with running.connect() as client:
        client.send(b"".join(b"GET /x%d HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in range(100)))
        for _ in range(100):
            client.response()
    lines = running.wait_for_count('"GET /x', 100)
    assert [re.search(r"/x(\d+)", line)[1] for line in lines] == [str(n) for n in range(100)]


def test_the_log_may_be_changed_while_the_server_runs(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    running = server(APP, **everywhere)
    for change in ("silent", "loud", "filter", "twice"):
        assert running.get(f"/changes_the_log?{change}").status == 200
        assert running.get(f"/after?{change}").status == 404
    assert running.get("/secret").status == 404
    assert running.get("/last").status == 404
    running.wait_for("/last")
    running.stop()
    lines = [line.split('"')[1].split()[1] for line in running.out]
    assert sorted(lines) == [
        *("/after?filter", "/after?loud", "/after?twice"),
        *("/changes_the_log?filter", "/changes_the_log?loud", "/changes_the_log?twice"),
        "/last",
    ]
    assert running.lines(r'^127\.0\.0\.1:\d+ - "GET /last HTTP/1.1" 404$')


@pytest.mark.parametrize(
    ("driver", "form"), [*((driver, "text") for driver in DRIVERS), (DRIVERS[0], "json")]
)
def test_a_log_that_nobody_reads_stops_nobody(driver: str, form: str) -> None:
    """What finds no room is lost, counted and told; the server serves on."""
    command = [sys.executable, "-m", "ferricorn", APP, "--port", "0", "--driver", driver]
    command += ["--log-format", form]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        ready = next(line for line in running.stderr if b"running on" in line)
        port = int(ready.split(b":")[-1].split()[0])
        count = 40_000
        with Client(socket.create_connection(("127.0.0.1", port))) as client:
            for _ in range(count // 100):
                client.send(b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n" * 100)
                for _ in range(100):
                    assert client.response().status == 404
        running.send_signal(signal.SIGINT)
        written = running.stdout.read().splitlines()
    if form == "json":
        written = [json.loads(line)["message"].encode() for line in written]
    told = [line for line in written if b"GET /nowhere" in line]
    lost = sum(int(line.strip(b"(").split()[0]) for line in written if b"were lost" in line)
    assert lost > 0
    assert len(told) + lost == count


def test_no_access_log(server: StartServer) -> None:
    running = server(APP, access_log=False)
    assert running.get("/").status == 200
    assert running.stop() == 0
    assert running.out == []


def test_colours(server: StartServer) -> None:
    running = server(APP, use_colors=True)
    running.get("/nowhere")
    running.wait_for("404")
    assert re.fullmatch(
        r'\x1b\[32mINFO\x1b\[0m:     127\.0\.0\.1:\d+ - "\x1b\[1mGET /nowhere HTTP/1\.1\x1b\[0m" '
        r"\x1b\[31m404 Not Found\x1b\[0m",
        running.out[0],
    )


def test_a_configuration_of_the_user_s_gets_the_five_arguments(
    server: StartServer, tmp_path: Path
) -> None:
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"arguments": {"format": "%(name)s|%(msg)s|%(args)s"}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "formatter": "arguments",
                "stream": "ext://sys.stdout",
            },
            "err": {"class": "logging.StreamHandler"},
        },
        "loggers": {
            "uvicorn.access": {"handlers": ["out"], "level": "INFO", "propagate": False},
            "uvicorn.error": {"handlers": ["err"], "level": "INFO", "propagate": False},
        },
    }
    path = tmp_path / "log.json"
    path.write_text(json.dumps(config))
    running = Server(APP, log_config=path)
    try:
        running.wait_for(" running on ")
        with running.connect() as client:
            client.get("/nowhere?q")
            port = client.sock.getsockname()[1]
        running.wait_for("^uvicorn.access")
        assert running.out == [
            (
                'uvicorn.access|%s - "%s %s HTTP/%s" %d|'
                f"('127.0.0.1:{port}', 'GET', '/nowhere?q', '1.1', 404)"
            )
        ]
    finally:
        running.kill()


def test_a_refused_request_has_a_line_with_its_reason_and_none_in_the_access_log(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    running = server(APP, **everywhere)
    with running.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\nx y: z\r\n\r\n")
        assert client.response().status == 400
    assert running.stop() == 0
    (line,) = running.lines("^WARNING:  Invalid HTTP request received")
    assert line in running.err
    assert "x y" not in line
    assert running.out == []
