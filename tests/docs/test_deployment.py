"""The files of the deployment pages, each with the program that it is for, where that is there."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.client import Client
from tests.support.docs import EXAMPLES, check, commands, copied
from tests.support.server import PATIENCE, PRODUCT, Server

pytestmark = pytest.mark.skipif(PRODUCT != "ferricorn", reason="the documentation is ferricorn's")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("deployment"))


# nginx

NGINX = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/examples/nginx.conf;
}}
"""


class Nginx:
    """nginx with the page's file, in front of the Unix socket in the folder."""

    def __init__(self, program: str, folder: Path) -> None:
        # It can be asked for no free port, so it is given a socket that is bound already.
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.set_inheritable(True)
        self.port = self.sock.getsockname()[1]
        path = folder / "examples" / "nginx.conf"
        text = path.read_text().replace("/run/app.sock", f"{folder}/app.sock")
        path.write_text(text.replace("listen 80;", f"listen 127.0.0.1:{self.port};"))
        main = folder / "nginx.conf"
        main.write_text(NGINX.format(folder=folder, user="user root;" if os.getuid() == 0 else ""))
        self.process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(main), "-e", "stderr"],
            env={**os.environ, "NGINX": f"{self.sock.fileno()};"},
            pass_fds=[self.sock.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )

    def connect(self) -> Client:
        return Client(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE))

    def end(self) -> str:
        self.process.terminate()
        _, errors = self.process.communicate(timeout=PATIENCE)
        self.sock.close()
        return errors


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not there")
    copied(tmp_path)
    made = Nginx(program, tmp_path)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


def test_nginx(nginx: Nginx, tmp_path: Path, server: Callable[..., Server]) -> None:
    ((_, app, *arguments),) = [words for words in commands() if "/run/app.sock" in words]
    names = [name.removeprefix("--").replace("-", "_") for name in arguments[::2]]
    options = dict(zip(names, arguments[1::2], strict=True)) | {"uds": tmp_path / "app.sock"}
    fresh = server(app, cwd=tmp_path / "examples", **options)
    before = fresh.descriptors()
    with nginx.connect() as client:
        for _ in range(5):
            headers = ("host", "app.example:81"), ("x-forwarded-for", "192.0.2.1")
            seen = client.get("/", *headers).json()
            assert seen == {"client": ["127.0.0.1", 0], "scheme": "http", "host": "app.example:81"}
        assert fresh.descriptors() == before + 1, "nginx keeps one connection for all requests"
    assert not re.search("error|warn", nginx.end())


# systemd


def unit(name: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(EXAMPLES / name)
    return {section: dict(parser[section]) for section in parser.sections()}


def test_the_command_of_the_service(folder: Path) -> None:
    service = unit("app.service")["Service"]
    words = shlex.split(service["ExecStart"])
    check(words, folder)
    grace = float(words[words.index("--timeout-graceful-shutdown") + 1])
    # A worker is killed 30 seconds after its time, and systemd shall not be quicker.
    assert float(service["TimeoutStopSec"]) >= grace + 30
    assert service["Type"] == "notify"
    assert unit("app.service")["Unit"]["Requires"] == "app.socket"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not there")
def test_systemd_takes_the_units(folder: Path) -> None:
    path = folder / "app.service"
    command = Path(sys.executable).with_name("ferricorn")
    path.write_text(path.read_text().replace("/srv/app/.venv/bin/ferricorn", str(command)))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path, folder / "app.socket"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "app." not in ran.stderr


# Containers


def test_the_command_of_the_image(folder: Path) -> None:
    (line,) = re.findall(r"^CMD (.*)$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    check(json.loads(line), folder)


def test_the_command_of_the_pod(folder: Path) -> None:
    pod: dict[str, Any] = yaml.safe_load((folder / "deployment.yaml").read_text())
    spec = pod["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    words = [*container["command"], *container["args"]]
    check(words, folder)
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    grace = float(words[words.index("--timeout-graceful-shutdown") + 1])
    assert spec["terminationGracePeriodSeconds"] > pause + grace


# gunicorn


class Gunicorn(Server):
    """A command line of the page, on a port of the system's choice."""

    def __init__(self, words: list[str], folder: Path) -> None:
        options = ["--bind", "127.0.0.1:0", "--no-control-socket"]
        super().__init__("", module=[*words, *options], cwd=folder, uds=None)

    @property
    def port(self) -> int:
        return int(self.wait_for(r"Listening at: http://\S*:(\d+)")[1])


@pytest.mark.parametrize(
    "words", [words for words in commands() if words[0] == "gunicorn"], ids=" ".join
)
def test_gunicorn(words: list[str], folder: Path) -> None:
    pytest.importorskip("gunicorn")
    fresh = Gunicorn(words, folder)
    try:
        # gunicorn waits for workers that it has asked to end before they took its signals.
        fresh.wait_for_count("Started server process", 2)
        with fresh.connect() as client:
            response = client.get("/")
        assert response["server"] == "ferricorn"
        assert response.text == "Hello, world!\n"
        assert ("x-frame-options" in response) == ("gunicorn_worker.Worker" in words)
        assert fresh.stop() == 0
    finally:
        fresh.kill()
