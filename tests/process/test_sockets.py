"""Where a server listens: TCP, Unix sockets and their files, inherited descriptors, several."""

from __future__ import annotations

import ast
import os
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.client import Client
from tests.support.server import PATIENCE, Server

APP = "tests.apps.scopes:app"


def scope_by(client: Client) -> dict[str, Any]:
    with client:
        return ast.literal_eval(client.get("/").text)  # type: ignore[no-any-return]


def connect(family: int, address: Any) -> Client:
    sock = socket.socket(family)
    sock.settimeout(PATIENCE)
    sock.connect(address)
    return Client(sock)


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


# Unix sockets


def test_a_unix_socket_is_for_everybody(
    server: StartServer, everywhere: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "sock"
    running = server(APP, uds=path, **everywhere)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert scope_by(running.connect())["server"] == (str(path), None)
    assert running.stop(signal.SIGTERM) == -signal.SIGTERM
    assert not path.exists()


def test_a_socket_left_behind_is_replaced_and_its_mode_kept(
    server: StartServer, tmp_path: Path
) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    path.chmod(0o600)
    running = server(APP, uds=path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert running.get("/").status == 200


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("content")
    running = Server(APP, uds=path)
    try:
        assert running.wait() == 3
    finally:
        running.kill()
    assert running.lines("^ERROR: .*already in use")
    assert path.read_text() == "content"


def test_a_socket_that_is_another_s_by_now_is_left_to_it(
    server: StartServer, tmp_path: Path
) -> None:
    path = tmp_path / "sock"
    first = server(APP, uds=path)
    second = server(APP, uds=path)
    first.stop()
    assert second.get("/").status == 200
    second.stop()
    assert not path.exists()


@pytest.mark.parametrize("name", ["with space", "näme", "x" * 60])
def test_names_of_unix_sockets(server: StartServer, tmp_path: Path, name: str) -> None:
    # The kernel allows 107 bytes, which a temporary directory's own name may take up.
    running = server(APP, uds=name, cwd=tmp_path, env={"PYTHONPATH": python_path()})
    assert stat.S_ISSOCK((tmp_path / name).stat().st_mode)
    running.stop()
    assert not (tmp_path / name).exists()


def python_path() -> str:
    """Return where a server finds the tests and itself from any directory."""
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, paths))


# TCP


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6_only(server: StartServer, host: str) -> None:
    # Only a socket that is not IPv4's as well can be bound beside one that is.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = server(APP, host=host, port=port)
        running.wait_for(rf"running on http://\[{host}\]:{port} ")
        client = connect(socket.AF_INET6, ("::1", port))
        assert scope_by(client)["server"] == ("::1", port)


@needs_ipv6
def test_every_address_of_a_name(server: StartServer) -> None:
    found = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
    addresses = {(family, address[0]) for family, _, _, _, address in found}
    running = server(APP, host="localhost")
    for family, host in addresses:
        assert scope_by(connect(family, (host, running.port)))["server"] == (host, running.port)


def test_two_servers_do_not_share_a_port(server: StartServer) -> None:
    port = server(APP).port
    second = Server(APP, port=port)
    try:
        assert second.wait() == 3
    finally:
        second.kill()
    assert second.lines("^ERROR: .*address already in use")


# Inherited descriptors


def inherited(server: StartServer, listening: socket.socket, **options: Any) -> Server:
    number = listening.fileno()
    return server(APP, fd=number, fds=(number,), **options)


@pytest.mark.parametrize("listens", [True, False], ids=["listening", "only bound"])
def test_an_inherited_tcp_socket(
    server: StartServer, everywhere: dict[str, str], listens: bool
) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        if listens:
            sock.listen()
        address = sock.getsockname()
        running = inherited(server, sock, **everywhere)
        running.wait_for(r"running on socket \('127\.0\.0\.1', \d+\) ")
        assert scope_by(connect(socket.AF_INET, address))["server"] == address


@needs_ipv6
def test_an_inherited_ipv6_socket(server: StartServer, everywhere: dict[str, str]) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as sock:
        address = sock.getsockname()[:2]
        inherited(server, sock, **everywhere)
        assert scope_by(connect(socket.AF_INET6, address))["server"] == address


def test_an_inherited_unix_socket_keeps_its_file(
    server: StartServer, everywhere: dict[str, str], tmp_path: Path
) -> None:
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        running = inherited(server, sock, **everywhere)
        scope = scope_by(connect(socket.AF_UNIX, path))
        assert (scope["server"], scope["client"]) == ((path, None), None)
        running.stop()
    assert os.path.exists(path)


def test_connections_from_before_the_start_are_served(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        clients = [connect(socket.AF_INET, sock.getsockname()) for _ in range(20)]
        for client in clients:
            client.request("GET", "/")
        inherited(server, sock, **everywhere)
        for client in clients:
            assert client.response().status == 200
            client.close()


# Several


def test_several_sockets(everywhere: dict[str, str], tmp_path: Path, server: StartServer) -> None:
    path = str(tmp_path / "sock")
    options = [f"{name}={value}" for name, value in everywhere.items()]
    running = server("tests.apps.several", module=["tests.apps.several", path, *options])
    ports = [int(port) for port in running.wait_for(r"^ports (\d+) (\d+)").groups()]
    for port in ports:
        client = connect(socket.AF_INET, ("127.0.0.1", port))
        assert scope_by(client)["server"] == ("127.0.0.1", port)
    assert scope_by(connect(socket.AF_UNIX, path))["server"] == (path, None)
    assert running.stop(signal.SIGTERM) == -signal.SIGTERM
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            connect(socket.AF_INET, ("127.0.0.1", port))
