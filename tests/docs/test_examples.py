"""Every command line, program and settings file that the documentation shows, run as shown."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.client import Client
from tests.support.docs import check, commands, copied
from tests.support.server import PRODUCT, ROOT, Server

pytestmark = pytest.mark.skipif(PRODUCT != "ferricorn", reason="the documentation is ferricorn's")

HELLO = "Hello, world!\n"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("docs"))


@pytest.fixture
def program(folder: Path) -> Iterator[Callable[..., Server]]:
    """Start a Python program of the examples."""
    running: list[Server] = []

    def start(name: str) -> Server:
        running.append(Server("", module=[name], cwd=folder))
        return running[-1]

    yield start
    for each in running:
        each.kill()


CHECKED = [words for words in commands() if words[0] == "ferricorn" and "compiled:app" not in words]


@pytest.mark.parametrize("words", CHECKED, ids=" ".join)
def test_a_command_is_valid(words: list[str], folder: Path) -> None:
    check(words, folder)


def test_other_commands_are_known() -> None:
    """Those that are tried are tried elsewhere; the rest would change the machine."""
    programs = {words[0] for words in commands()} - {"ferricorn"}
    tried = {"cythonize", "gunicorn", "kill", "make"}
    assert programs == tried | {"curl", "docker", "pip", "systemctl"}


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "make"])
def test_a_target_of_make(words: list[str]) -> None:
    subprocess.run([*words, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_explain_shows_where_values_come_from(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ferricorn", "--config", "ferricorn.toml", "--explain"],
        cwd=folder,
        env={**os.environ, "FERRICORN_WORKERS": "3", "UVICORN_BACKLOG": "10"},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split() for line in ran.stdout.splitlines()]
    for row in (
        ["app", "hello:app", "ferricorn.toml"],
        ["--workers", "3", "$FERRICORN_WORKERS"],
        ["--backlog", "10", "$UVICORN_BACKLOG"],
        ["--worker-lifetime", "86400.0", "ferricorn.toml"],
        ["--access-log", "no", "ferricorn.toml"],
    ):
        assert row in rows


@pytest.mark.parametrize("name", ["run", "in_a_loop", "quiet_health"])
def test_a_program_serves(name: str, program: Callable[..., Server]) -> None:
    server = program(name).wait_until_ready()
    assert server.get("/health").text == HELLO
    assert server.get("/").text == HELLO
    server.wait_for('"GET / HTTP/1.1" 200')
    assert bool(server.lines("/health")) == (name != "quiet_health")
    assert server.stop() == 0
    assert not server.lines("Traceback")


def test_a_program_with_its_own_socket(program: Callable[..., Server]) -> None:
    server = program("own_socket")
    server.wait_for("appears unsupported")
    (listener,) = psutil.Process(server.pid).net_connections("tcp")
    server._port = listener.laddr.port
    assert server.get("/").text == HELLO
    server.stop()


def test_a_server_in_a_thread(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "in_a_thread.py"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"{HELLO}\n"
    assert ran.stderr == ""


@pytest.mark.parametrize("app", ["instance", "Asgi2", "create_app", "wsgi"])
def test_a_shape(app: str, folder: Path, server: Callable[..., Server]) -> None:
    factory = {"factory": True} if app == "create_app" else {}
    assert server(f"shapes:{app}", cwd=folder, **factory).get("/").text == HELLO


def test_several_applications(folder: Path, server: Callable[..., Server]) -> None:
    ((_, app, *arguments),) = [words for words in commands() if "--mount" in words]
    running = server(app, cwd=folder, mount=arguments[1::2])
    for path in ("/", "/old", "/old/new"):
        assert running.get(path).status == 200
    assert running.get("/old").text == running.get("/").text == HELLO
    assert running.get("/old/new").text != HELLO


def test_a_compiled_application(folder: Path, server: Callable[..., Server]) -> None:
    ((cythonize, *arguments),) = [words for words in commands() if words[0] == "cythonize"]
    subprocess.run(
        [Path(sys.executable).with_name(cythonize), *arguments],
        cwd=folder,
        env={**os.environ, "CFLAGS": "-O0"},
        check=True,
        capture_output=True,
    )
    assert server("compiled:app", cwd=folder).get("/").text == HELLO


def test_the_settings_of_a_project(folder: Path, server: Callable[..., Server]) -> None:
    fresh = server("hello:app", cwd=folder)
    with fresh.connect() as client:
        assert client.get().text == HELLO
    assert fresh.port != 8000, "the command line comes before the file"


def test_a_logging_configuration(folder: Path, server: Callable[..., Server]) -> None:
    fresh = server("hello:app", cwd=folder, log_config="logging.json")
    assert fresh.get("/logged").text == HELLO
    fresh.stop()
    line = next(line for line in (folder / "access.log").open() if "/logged" in line)
    assert line.endswith(' "GET /logged HTTP/1.1" 200 OK\n')
    assert fresh.lines("INFO uvicorn.error Shutting down")


def test_a_log_that_was_moved_is_made_anew(folder: Path, server: Callable[..., Server]) -> None:
    fresh = server("hello:app", cwd=folder, log_config="logging.json")
    fresh.get("/before")
    shutil.move(folder / "access.log", folder / "access.log.1")
    fresh.get("/after")
    fresh.stop()
    assert "/after" in (folder / "access.log").read_text()


def signalled(words: list[str]) -> int:
    return int(getattr(signal, f"SIG{words[1][1:]}"))


def test_the_signals_are_those_of_the_parent() -> None:
    from ferricorn.supervisors.multiprocess import SIGNALS, Multiprocess

    for words in commands():
        if words[0] == "kill":
            name = SIGNALS[signalled(words)]  # type: ignore[index]
            assert hasattr(Multiprocess, f"handle_{name.lower()}")


# What the server says of its end


def first_line(client: Client, path: str) -> tuple[Client, bytes]:
    client.request("GET", path)
    assert client.head().status == 200
    return client, client.read_chunk()


def test_an_application_without_the_extension(folder: Path, server: Callable[..., Server]) -> None:
    fresh = server("drain:app", cwd=folder)
    assert fresh.get("/ready").status == 200
    with fresh.connect() as client:
        assert first_line(client, "/stream")[1] == b"tick\n"


def test_readiness_and_streams_at_the_end(folder: Path, server: Callable[..., Server]) -> None:
    fresh = server("drain:app", cwd=folder, drain_delay=60)
    assert fresh.get("/ready").status == 200
    with fresh.connect() as client:
        stream, line = first_line(client, "/stream")
        assert line == b"tick\n"
        fresh.send_signal(signal.SIGTERM)
        while line == b"tick\n":
            line = stream.read_chunk()
        assert line == b"bye\n"
    assert fresh.get("/ready").status == 503
    fresh.send_signal(signal.SIGINT)
    fresh.wait()


def test_lines_as_json(folder: Path, server: Callable[..., Server]) -> None:
    fresh = server("hello:app", cwd=folder, log_format="json", port=0)
    fresh.get("/")
    fresh.stop()
    lines: list[dict[str, Any]] = [json.loads(line) for line in fresh.log]
    assert any(line["logger"] == "uvicorn.access" for line in lines)
