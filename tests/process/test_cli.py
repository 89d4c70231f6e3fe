"""The command as a process: what it writes, what it answers, and how it ends.

Each test runs `python -m ferricorn` on a port that the system picks, reads the port from the log as
a user would, and ends the process by its own pid.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

APPLICATION = """
import asyncio


async def answer(send, status=200, body=b"ok"):
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send):
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/wait":
        print("waiting", flush=True)
        await asyncio.sleep(3600)
    elif scope["path"] == "/raise":
        raise ValueError("raised on purpose")
    else:
        await answer(send, 404 if scope["path"] == "/missing" else 200)


async def bare(scope, receive, send):
    assert scope["type"] == "http"
    await answer(send)


class Double:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        assert self.scope["type"] == "http"
        await answer(send, body=self.scope["asgi"]["version"].encode())


class Callable3:
    async def __call__(self, scope, receive, send):
        await bare(scope, receive, send)


instance = Callable3()


def returning(scope, receive, send):
    return bare(scope, receive, send)


def make_app():
    return bare


def wsgi(environ, start_response):
    start_response("200 OK", [("content-length", "4")])
    return [b"wsgi"]


async def no_database(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def hanging(scope, receive, send):
    await asyncio.sleep(3600)
"""


class Command:
    """A running `ferricorn`, and the lines that it has written so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until a line matches."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._find(pattern), timeout=30)
        assert found, f"no line matches {pattern!r} in {self.lines}"
        return found

    def _find(self, pattern: str) -> re.Match[str] | None:
        return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

    @property
    def port(self) -> int:
        return int(self.wait_for(r"running on http://\S*:(\d+)")[1])

    def get(self, path: str = "/") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body

    def send(self, path: str) -> socket.socket:
        """Send a request and do not wait for its answer."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        return client

    def kill(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for the process to end and return its status, negative if a signal ended it."""
        status = self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        return status

    def normal_lines(self) -> list[str]:
        """Return the lines with the numbers of this run replaced."""
        text = "\n".join(self.lines).replace(f"[{self.process.pid}]", "[PID]")
        return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text).split("\n")


Start = Callable[..., Command]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "main.py").write_text(APPLICATION)
    running: list[Command] = []

    def start(*arguments: str, pass_fds: tuple[int, ...] = (), **environment: str) -> Command:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FERRICORN_", "UVICORN_"))
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "ferricorn", *arguments],
            cwd=tmp_path,
            env={**inherited, "PYTHONUNBUFFERED": "1", **environment},
            pass_fds=pass_fds,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(Command(process))
        return running[-1]

    yield start
    for command in running:
        if command.process.poll() is None:
            command.process.kill()
        command.end()


def served(start: Start, *arguments: str, **environment: str) -> Command:
    command = start(*arguments, "--port", "0", **environment)
    assert command.port
    return command


LIFE = [
    "INFO:     Started server process [PID]",
    "INFO:     Waiting for application startup.",
    "INFO:     Application startup complete.",
    "INFO:     Ferricorn running on http://127.0.0.1:PORT (Press CTRL+C to quit)",
    'INFO:     127.0.0.1:PORT - "GET /missing?q=1 HTTP/1.1" 404 Not Found',
    "INFO:     Shutting down",
    "INFO:     Waiting for application shutdown.",
    "INFO:     Application shutdown complete.",
    "INFO:     Finished server process [PID]",
]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])
@pytest.mark.parametrize("driver", ["reactor", "protocol"])
def test_a_life(start: Start, number: int, status: int, driver: str) -> None:
    command = served(start, "main:app", "--driver", driver)
    assert command.get("/missing?q=1")[0] == 404
    command.wait_for("404")
    command.kill(number)
    assert command.end() == status
    assert command.normal_lines() == LIFE


def test_levels_and_access_log(start: Start) -> None:
    command = served(start, "main:app", "--no-access-log")
    command.get()
    command.kill(signal.SIGINT)
    command.end()
    assert command.normal_lines() == LIFE[:4] + LIFE[5:]


LARGE = {
    "main:app": [
        *("--timeout-keep-alive", "--timeout-request-head", "--timeout-request-body"),
        *("--timeout-write", "--timeout-graceful-shutdown", "--limit-concurrency"),
        *("--limit-max-requests", "--ws-max-size", "--ws-max-connections", "--ws-ping-interval"),
        *("--ws-ping-timeout", "--ws-close-timeout", "--ws-send-high-water"),
    ],
    "main:wsgi": ["--wsgi-queue", "--wsgi-buffer-size", "--wsgi-timeout"],
}


@pytest.mark.parametrize("name", LARGE)
def test_as_much_as_a_number_can_say(start: Start, name: str) -> None:
    options = [text for flag in LARGE[name] for text in (flag, str(sys.maxsize))]
    command = served(start, name, *options)
    assert command.get()[0] == 200
    command.kill(signal.SIGINT)
    assert command.end() == 0


@pytest.mark.parametrize(
    "options", [[], ["--workers", "2"], ["--preload"]], ids=["one", "workers", "preload"]
)
def test_without_standard_streams(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "main.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "ferricorn", "main:bare", "--lifespan", "off", *options]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address, fd = sock.getsockname(), sock.fileno()
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command, "--fd", str(fd)],
            cwd=tmp_path,
            pass_fds=(fd,),
        )
        # Waits in the backlog until somebody accepts, or until nobody can any more.
        client = http.client.HTTPConnection(*address, timeout=30)
        client.connect()
    try:
        client.request("GET", "/")
        assert client.getresponse().read() == b"ok"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        client.close()
        process.kill()
        process.wait()


def test_a_trace(start: Start) -> None:
    command = served(start, "main:app", "--log-level", "trace")
    command.get()
    command.wait_for(r"^TRACE:    127\.0\.0\.1:\d+ - ASGI \[2\] Started scope=\{'type': 'http'")
    command.wait_for(r"^TRACE:    127\.0\.0\.1:\d+ - ASGI \[2\] Completed$")


def test_an_exception_is_a_500_and_a_traceback(start: Start) -> None:
    command = served(start, "main:app")
    assert command.get("/raise") == (500, "Internal Server Error")
    command.wait_for("^ERROR:    Exception in ASGI application$")
    command.wait_for("^ValueError: raised on purpose$")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("main:bare", "ok"),
        ("main:instance", "ok"),
        ("main:Callable3", "ok"),
        ("main:returning", "ok"),
        ("main:make_app", "ok"),
        ("main:Double", "2.0"),
        ("main:wsgi", "wsgi"),
    ],
)
def test_applications_of_all_shapes(start: Start, name: str, body: str) -> None:
    assert served(start, name).get() == (200, body)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere:app"], 'Error loading ASGI app. Could not import module "nowhere".'),
        (["main:nobody"], 'Error loading ASGI app. Attribute "nobody" not found in module "main".'),
        (["main"], 'Import string "main" must be in format "<module>:<attribute>".'),
        (["main:no_database"], "Application startup failed. Exiting."),
        (["main:bare", "--lifespan", "on"], "Application startup failed. Exiting."),
        (["main:bare", "--fd", "987654"], "Bad file descriptor"),
        (["main:bare", "--uds", "no-such-directory/sock"], "no such file or directory"),
        (["main:bare", "--loop", "nowhere:loop"], 'Could not import module "nowhere".'),
    ],
)
def test_a_start_that_fails_is_status_3(start: Start, arguments: list[str], line: str) -> None:
    command = start(*arguments)
    assert command.end() == 3
    assert any(each.startswith("ERROR: ") and line in each for each in command.lines)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_port_in_use_is_status_3(start: Start, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = start("main:app", "--port", str(port), "--loop", loop)
        assert command.end() == 3
    bind = f"error while attempting to bind on address ('127.0.0.1', {port})"
    assert command.lines[3:] == [
        f"ERROR:    [Errno {errno.EADDRINUSE}] {bind}: address already in use",
        "INFO:     Waiting for application shutdown.",
        "INFO:     Application shutdown complete.",
    ]


def test_wrong_usage_is_status_2(start: Start) -> None:
    command = start("main:app", "--http2")
    assert command.end() == 2
    assert command.lines[-1].startswith("Error: Invalid value for '--http2': not supported yet")


@pytest.mark.parametrize(
    ("option", "name", "content"),
    [
        ("--config", "no.toml", None),
        ("--config", "broken.toml", b"a = ["),
        ("--config", "unknown.toml", b"prot = 1"),
        ("--config", "binary.toml", b"\xff"),
        ("--log-config", "no.json", None),
        ("--log-config", "broken.json", b"{"),
        ("--log-config", "broken.yaml", b"a: ["),
        ("--log-config", "broken.ini", b"a"),
        ("--log-config", "unknown.json", b'{"version": 1, "handlers": {"a": {"class": "b.C"}}}'),
        ("--env-file", "no.env", None),
        ("--env-file", "binary.env", b"\xff"),
    ],
)
def test_a_file_that_makes_no_sense_is_status_2(
    start: Start, tmp_path: Path, option: str, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    command = start("main:app", option, name)
    assert command.end() == 2
    assert command.lines[-1].startswith("Error: ")
    assert name in command.lines[-1]
    assert not any("Traceback" in line for line in command.lines)


@pytest.mark.parametrize("option", ["--config", "--log-config", "--env-file"])
@pytest.mark.parametrize("kind", ["folder", "secret"])
def test_a_file_that_cannot_be_read_is_status_2(
    start: Start, tmp_path: Path, option: str, kind: str
) -> None:
    path = tmp_path / "unreadable"
    if kind == "folder":
        path.mkdir()
    else:
        path.touch(mode=0)
        if os.access(path, os.R_OK):
            pytest.skip("nothing is secret to this user")
    command = start("main:app", option, path.name)
    assert command.end() == 2
    assert command.lines[-1].startswith("Error: ")
    assert "unreadable" in command.lines[-1]


def test_the_end_waits_for_a_request_and_a_second_interrupt_does_not(start: Start) -> None:
    command = served(start, "main:app")
    with command.send("/wait"):
        command.wait_for("^waiting$")
        command.kill(signal.SIGINT)
        command.wait_for(r"Waiting for connections to close. \(CTRL\+C to force quit\)")
        command.kill(signal.SIGINT)
        assert command.end() == 0
    assert not any("application shutdown" in line for line in command.lines)


def test_the_end_has_a_limit(start: Start) -> None:
    command = served(start, "main:app", "--timeout-graceful-shutdown", "0")
    with command.send("/wait"):
        command.wait_for("^waiting$")
        command.kill(signal.SIGTERM)
        assert command.end() == -signal.SIGTERM
    line = "ERROR:    Cancel 1 running task(s), timeout graceful shutdown exceeded"
    assert line in command.lines
    assert "INFO:     Application shutdown complete." in command.lines


@pytest.mark.parametrize("driver", ["reactor", "protocol"])
def test_an_idle_connection_does_not_keep_the_server(start: Start, driver: str) -> None:
    command = served(start, "main:app", "--driver", driver)
    with socket.create_connection(("127.0.0.1", command.port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        command.wait_for("200 OK")
        command.kill(signal.SIGINT)
        assert command.end() == 0
    assert not any("Waiting for connections" in line for line in command.lines)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 3), (signal.SIGTERM, -15)])
def test_a_start_that_hangs_can_be_ended(start: Start, number: int, status: int) -> None:
    command = start("main:hanging", "--port", "0")
    command.wait_for("Waiting for application startup.")
    command.kill(number)
    command.wait_for(r"Waiting for application startup to end. \(CTRL\+C to force quit\)")
    command.kill(number)
    assert command.end() == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_unix_socket_is_removed_at_the_end(start: Start, tmp_path: Path, number: int) -> None:
    path = tmp_path / "sock"
    command = start("main:app", "--uds", str(path))
    command.wait_for(f"running on unix socket {path} ")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
    command.wait_for('^INFO:      - "GET / HTTP/1.1" 200 OK$')
    command.kill(number)
    command.end()
    assert not path.exists()


def test_an_inherited_descriptor(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        command = start("main:app", "--fd", str(sock.fileno()), pass_fds=(sock.fileno(),))
        command.wait_for(re.escape(f"running on socket ('127.0.0.1', {port})"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()


def test_the_maximum_of_requests_ends_the_server(start: Start) -> None:
    command = served(start, "main:app", "--limit-max-requests", "1")
    command.get()
    assert command.end() == 0
    assert "INFO:     Maximum request limit of 1 exceeded. Terminating process." in command.lines


def test_variables_and_headers(start: Start) -> None:
    command = served(
        start, UVICORN_APP="main:bare", FERRICORN_HEADERS="X-One:1 Server:mine", UVICORN_PORT="1"
    )
    connection = http.client.HTTPConnection("127.0.0.1", command.port, timeout=30)
    connection.request("GET", "/")
    response = connection.getresponse()
    assert (response.headers["x-one"], response.headers.get_all("server")) == ("1", ["mine"])
    connection.close()


def test_the_application_directory(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "source"
    directory.mkdir()
    (tmp_path / "main.py").rename(directory / "elsewhere.py")
    assert served(start, "elsewhere:bare", "--app-dir", "source").get() == (200, "ok")


def test_the_process_that_serves_can_be_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import threading, time, urllib.request\n"
        "import ferricorn\n"
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'from a thread'})\n"
        "config = ferricorn.Config(app, port=0, log_level='warning', lifespan='off')\n"
        "server = ferricorn.Server(config)\n"
        "thread = threading.Thread(target=server.run)\n"
        "thread.start()\n"
        "while not server.started:\n"
        "    time.sleep(0.01)\n"
        "port = server.servers[0].sockets[0].getsockname()[1]\n"
        "print(urllib.request.urlopen(f'http://127.0.0.1:{port}/').read().decode())\n"
        "server.should_exit = True\n"
        "thread.join()\n"
    )
    result = subprocess.run(
        [sys.executable, str(script)], check=False, capture_output=True, text=True, timeout=30
    )
    assert (result.stdout, result.stderr) == ("from a thread\n", "")


def test_several_addresses(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    bind = ["--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0", "--bind", f"unix:{path}"]
    command = start("main:bare", *bind, "--uds-permissions", "600")
    command.wait_for(f"running on unix socket {path} ")
    ports = re.findall(r"running on http://127\.0\.0\.1:(\d+) ", "\n".join(command.lines))
    assert len(set(ports)) == 2
    for port in ports:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
    command.kill(signal.SIGINT)
    assert command.end() == 0
    assert not path.exists()


def test_options_from_a_file(start: Start, tmp_path: Path) -> None:
    if sys.version_info < (3, 11):
        pytest.importorskip("tomli")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.ferricorn]\napp = "main:bare"\nbind = "127.0.0.1:0"\naccess-log = false\n'
    )
    command = start()
    assert command.get() == (200, "ok")
    command.kill(signal.SIGINT)
    assert command.end() == 0
    assert not any("GET /" in line for line in command.lines)


def test_a_configuration_is_checked(start: Start) -> None:
    command = start("main:bare", "--check-config")
    assert command.end() == 0
    assert command.lines == ["The configuration is valid, and the application can be loaded."]


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["main:nobody"], 3, 'Attribute "nobody" not found in module "main".'),
        (["broken:app"], 3, "ZeroDivisionError: division by zero"),
        (["main:bare", "--loop", "nowhere:loop"], 3, 'Could not import module "nowhere".'),
        (["main:bare", "--port", "70000"], 2, "70000 is not between 0 and 65535."),
    ],
)
def test_a_configuration_that_fails_the_check(
    start: Start, tmp_path: Path, arguments: list[str], status: int, line: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    command = start(*arguments, "--check-config")
    assert command.end() == status
    assert any(line in each for each in command.lines)
    assert not any("valid" in each for each in command.lines[:-1])


def test_a_configuration_is_explained(start: Start) -> None:
    command = start("main:bare", "--explain", "--port", "81", UVICORN_HOST="::1")
    assert command.end() == 0
    rows = [line.split(maxsplit=2) for line in command.lines]
    assert ["--port", "81", "command line"] in rows
    assert ["--host", "::1", "$UVICORN_HOST"] in rows
    assert ["--backlog", "2048", "default"] in rows
