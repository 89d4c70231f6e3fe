"""Listening sockets: where they are, how they are called, and that nothing of them remains."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from ferricorn.config import Config
from ferricorn.endpoint import Endpoint


def opened(**address: Any) -> Endpoint:
    return Endpoint.open(Config("unused:app", log_config=None, **address))


def connects(family: int, address: Any) -> bool:
    with socket.socket(family) as client:
        return client.connect_ex(address) == 0


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_free_port_and_its_name() -> None:
    endpoint = opened(port=0)
    [sock] = endpoint.sockets
    host, port = sock.getsockname()
    assert host == "127.0.0.1"
    assert port > 0
    assert endpoint.names == [f"http://127.0.0.1:{port}"]
    assert connects(socket.AF_INET, (host, port))
    endpoint.close()
    assert not connects(socket.AF_INET, (host, port))


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6_stands_in_brackets() -> None:
    endpoint = opened(host="::1", port=0)
    port = endpoint.sockets[0].getsockname()[1]
    assert endpoint.names == [f"http://[::1]:{port}"]
    assert connects(socket.AF_INET6, ("::1", port))
    endpoint.close()


def test_all_addresses_of_a_name_share_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_addresses(host: str, port: int, **_: Any) -> Any:
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
            yield socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    endpoint = opened(host="two.example", port=0)
    names = [sock.getsockname() for sock in endpoint.sockets]
    assert [host for host, _ in names] == ["127.0.0.1", "127.0.0.2"]
    assert names[0][1] == names[1][1]
    assert endpoint.names == [f"http://two.example:{names[0][1]}"]
    endpoint.close()


def test_an_address_that_this_machine_has_not_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(host: str, port: int, **_: Any) -> Any:
        for address in ("203.0.113.1", "127.0.0.1"):
            yield socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    endpoint = opened(host="two.example", port=0)
    assert [sock.getsockname()[0] for sock in endpoint.sockets] == ["127.0.0.1"]
    endpoint.close()


def test_no_address_at_all() -> None:
    with pytest.raises(OSError, match="203.0.113.1") as caught:
        opened(host="203.0.113.1", port=0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize(
    "address",
    [
        {"host": "two..dots"},
        {"uds": "a\0b"},
        {"fd": 2**64},
        {"bind": f"fd://{2**64}"},
    ],
    ids=repr,
)
def test_an_address_that_is_none(address: Any) -> None:
    with pytest.raises(OSError, match=r": .+"):
        opened(**address)


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError) as caught:
            opened(port=port)
    assert str(caught.value) == (
        f"[Errno {errno.EADDRINUSE}] error while attempting to bind on address "
        f"('127.0.0.1', {port}): address already in use"
    )


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    endpoint = opened(uds=str(path))
    assert endpoint.names == [f"unix socket {path}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert connects(socket.AF_UNIX, str(path))
    endpoint.close()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_its_mode_kept(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    path.chmod(0o600)
    endpoint = opened(uds=str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert connects(socket.AF_UNIX, str(path))
    endpoint.close()


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match="address already in use"):
        opened(uds=str(path))
    assert path.read_text() == "data"


def test_the_unix_socket_of_a_successor_stays(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    first = opened(uds=str(path))
    second = opened(uds=str(path))
    first.close()
    assert connects(socket.AF_UNIX, str(path))
    second.close()
    assert not path.exists()


def test_an_inherited_descriptor_keeps_its_family(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as parent:
        parent.bind(str(tmp_path / "sock"))
        endpoint = opened(fd=parent.fileno())
        assert endpoint.sockets[0].family == socket.AF_UNIX
        assert endpoint.names == [f"socket {tmp_path / 'sock'}"]
        assert connects(socket.AF_UNIX, str(tmp_path / "sock"))
        endpoint.close()
        assert parent.fileno() >= 0
        os.fstat(parent.fileno())


def test_a_descriptor_that_is_none() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened(fd=987_654)


def test_given_sockets_listen_and_are_not_announced(log: Any) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        endpoint = Endpoint([sock], backlog=5)
        endpoint.announce()
        assert log.lines == []
        assert connects(socket.AF_INET, sock.getsockname())


def test_given_sockets_may_come_one_by_one() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    endpoint = Endpoint((each for each in [sock]), backlog=10)
    assert endpoint.sockets == [sock]
    endpoint.close()


def test_the_announcement(log: Any) -> None:
    endpoint = opened(port=0)
    endpoint.announce()
    endpoint.close()
    assert log.lines == [f"INFO: Ferricorn running on {endpoint.names[0]} (Press CTRL+C to quit)"]


def test_several_addresses(tmp_path: Path, log: Any) -> None:
    path = tmp_path / "sock"
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        bind = ["127.0.0.1:0", f"unix:{path}", f"fd://{inherited.fileno()}"]
        endpoint = opened(bind=bind, uds_permissions=0o600)
        port = endpoint.sockets[0].getsockname()[1]
        assert endpoint.names == [
            f"http://127.0.0.1:{port}",
            f"unix socket {path}",
            f"socket {inherited.getsockname()}",
        ]
        assert connects(socket.AF_INET, ("127.0.0.1", port))
        assert connects(socket.AF_UNIX, str(path))
        assert connects(socket.AF_INET, inherited.getsockname())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    endpoint.announce()
    assert [line.split(" on ")[1] for line in log.lines] == [
        f"{name} (Press CTRL+C to quit)" for name in endpoint.names
    ]
    endpoint.close()
    assert not path.exists()
    assert not connects(socket.AF_INET, ("127.0.0.1", port))


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_an_address_in_brackets() -> None:
    endpoint = opened(bind="[::1]:0")
    assert endpoint.names == [f"http://[::1]:{endpoint.sockets[0].getsockname()[1]}"]
    endpoint.close()


def test_permissions_come_before_those_of_an_earlier_socket(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    opened(uds=str(path), uds_permissions=0o640)
    endpoint = opened(uds=str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    endpoint = opened(uds=str(path), uds_permissions=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    endpoint.close()


def test_of_several_addresses_none_stays_if_one_cannot_be_had(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(OSError, match="address already in use"):
            opened(bind=[f"unix:{path}", f"127.0.0.1:{taken}"])
    assert not path.exists()
