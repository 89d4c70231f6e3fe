"""The PROXY protocol over sockets: whose a connection is by its header, in scope and log."""

from __future__ import annotations

import ast
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import DRIVERS, StartServer
from tests.support.client import Client, request
from tests.support.proxying import BLOCK, LINE, LOCAL, STREAM, TCP6, binary, inet
from tests.support.server import PATIENCE, PRODUCT, Server

pytestmark = pytest.mark.skipif(PRODUCT != "ferricorn", reason="the option is ferricorn's")

APP = "tests.apps.scopes:app"
TOLD = {"client": ("192.0.2.1", 4000), "server": ("198.51.100.2", 443)}


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def behind(shared_server: StartServer, driver: str) -> Server:
    """A server that expects a header."""
    return shared_server(APP, driver=driver, proxy_protocol=True)


def scope(client: Client) -> dict[str, Any]:
    response = client.response()
    assert response.status == 200, response
    return ast.literal_eval(response.text)  # type: ignore[no-any-return]


def ends(client: Client) -> dict[str, Any]:
    seen = scope(client)
    return {name: seen[name] for name in ("client", "server")}


def real(client: Client) -> dict[str, Any]:
    return {"client": client.sock.getsockname()[:2], "server": client.sock.getpeername()[:2]}


SIX = inet(("2001:db8::1", 4000), ("::1", 443))


@pytest.mark.parametrize(
    ("header", "client", "server"),
    [
        (LINE, *TOLD.values()),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", ("2001:db8::1", 1), ("::1", 2)),
        (binary(BLOCK), *TOLD.values()),
        (binary(SIX, family=TCP6), ("2001:db8::1", 4000), ("::1", 443)),
        (binary(BLOCK + b"\x02\0\x0bexample.org\x04\0\0"), *TOLD.values()),
        (binary(BLOCK + b"\x01" + (4000).to_bytes(2, "big") + bytes(4000)), *TOLD.values()),
        (binary(b"/client".ljust(108, b"\0") + bytes(108), family=STREAM), None, None),
        (binary(bytes(108) + b"/web".ljust(108, b"\0"), family=STREAM), None, ("/web", None)),
    ],
    ids=["1-4", "1-6", "2-4", "2-6", "2-extensions", "2-long", "2-unix", "2-unix-named"],
)
def test_the_scope_has_the_ends_that_are_told(
    behind: Server, header: bytes, client: Any, server: Any
) -> None:
    with behind.connect() as proxy:
        proxy.send(header + request("GET", "/"))
        assert ends(proxy) == {"client": client, "server": server}


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff:: ffff:: 1 1\r\n",
        binary(command=LOCAL, family=0),
        binary(BLOCK, command=LOCAL),
        binary(b"whatever", family=0),
    ],
    ids=["unknown", "unknown-told", "local", "local-told", "unspecified"],
)
def test_who_speaks_for_nobody_is_the_client(behind: Server, header: bytes) -> None:
    with behind.connect() as proxy:
        proxy.send(header + request("GET", "/"))
        assert ends(proxy) == real(proxy)


@pytest.mark.parametrize("header", [LINE, binary(BLOCK)], ids=["1", "2"])
def test_all_requests_of_the_connection_are_the_clients(behind: Server, header: bytes) -> None:
    with behind.connect() as proxy:
        proxy.send(header + request("GET", "/pipelined") * 3 + request("GET", "/half")[:9])
        for _ in range(3):
            assert ends(proxy) == TOLD
        proxy.send(request("GET", "/half")[9:])
        assert ends(proxy) == TOLD
        proxy.request("POST", "/kept", body=bytes(100_000))
        assert ends(proxy) == TOLD


@pytest.mark.parametrize("header", [LINE, binary(BLOCK + b"\x04\0\x01x")], ids=["1", "2"])
def test_the_header_may_be_cut_anywhere(behind: Server, header: bytes) -> None:
    data = header + request("GET", "/")
    for cut in range(1, len(header) + 2):
        with behind.connect() as proxy:
            proxy.send(data[:cut])
            proxy.send(data[cut:])
            assert ends(proxy) == TOLD, cut


@pytest.mark.parametrize("header", [LINE, binary(BLOCK)], ids=["1", "2"])
def test_the_header_may_come_octet_by_octet(behind: Server, header: bytes) -> None:
    with behind.connect() as proxy:
        for octet in header:
            proxy.send(bytes([octet]))
        proxy.request("GET", "/")
        assert ends(proxy) == TOLD


def test_connections_do_not_share_their_ends(behind: Server) -> None:
    with behind.connect() as one, behind.connect() as two:
        one.send(LINE)
        two.send(LINE.replace(b"192.0.2.1", b"192.0.2.2"))
        for _ in range(2):
            for proxy, host in ((one, "192.0.2.1"), (two, "192.0.2.2")):
                proxy.request("GET", "/")
                assert scope(proxy)["client"] == (host, 4000)


def test_the_access_log_names_the_client(server: StartServer, driver: str) -> None:
    here = server(APP, driver=driver, proxy_protocol=True)
    with here.connect() as proxy:
        proxy.send(LINE + request("GET", "/logged"))
        assert proxy.response().status == 200
        proxy.send(b"nonsense\r\n\r\n")
        assert proxy.response().status == 400
    here.wait_for(r'^INFO:     192\.0\.2\.1:4000 - "GET /logged HTTP/1\.1" 200 OK$')
    here.wait_for(r"Invalid HTTP request received\..* \(from 192\.0\.2\.1:4000\)$")


def test_a_refusal_before_the_first_request_names_the_client(behind: Server) -> None:
    with behind.connect() as proxy:
        proxy.send(LINE.replace(b"4000", b"4001") + b"nonsense\r\n\r\n")
        assert proxy.response().status == 400
    behind.wait_for(r"Invalid HTTP request received\..* \(from 192\.0\.2\.1:4001\)$")


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [("127.0.0.1", "192.0.2.1"), ("192.0.2.0/24", "203.0.113.9")],
)
def test_proxy_headers_are_the_told_clients(
    shared_server: StartServer, driver: str, trusted: str, expected: str
) -> None:
    here = shared_server(APP, driver=driver, proxy_protocol=True, forwarded_allow_ips=trusted)
    with here.connect() as proxy:
        proxy.send(LINE)
        proxy.request("GET", "/", ("x-forwarded-for", "203.0.113.9"))
        assert scope(proxy)["client"][0] == expected


@pytest.mark.parametrize("allowed", ["unix", "*", "127.0.0.1,unix"])
def test_a_proxy_on_a_unix_socket(
    server: StartServer, driver: str, tmp_path: Path, allowed: str
) -> None:
    here = server(
        APP, driver=driver, uds=str(tmp_path / "s"), proxy_protocol=True, proxy_allow_ips=allowed
    )
    with here.connect() as proxy:
        proxy.send(LINE + request("GET", "/"))
        assert ends(proxy) == TOLD
    with here.connect() as proxy:
        proxy.send(b"PROXY UNKNOWN\r\n" + request("GET", "/"))
        assert ends(proxy) == {"client": None, "server": (str(tmp_path / "s"), None)}


def test_a_proxy_over_ipv6(server: StartServer, driver: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    here = server(APP, driver=driver, host="::1", proxy_protocol=True)
    with here.connect() as proxy:
        proxy.send(LINE + request("GET", "/"))
        assert ends(proxy) == TOLD


def test_ipv4_on_a_socket_of_ipv6_is_ipv4(server: StartServer, driver: str) -> None:
    try:
        sock = socket.socket(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::ffff:127.0.0.1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with sock:
        sock.listen()
        here = server(
            APP,
            driver=driver,
            fd=sock.fileno(),
            fds=(sock.fileno(),),
            proxy_protocol=True,
            proxy_allow_ips="127.0.0.1",
        )
        address = ("127.0.0.1", sock.getsockname()[1])
        with Client(socket.create_connection(address, timeout=PATIENCE)) as proxy:
            proxy.send(LINE + request("GET", "/"))
            assert ends(proxy) == TOLD
        here.stop()


def test_every_socket_expects_a_header(server: StartServer, driver: str, tmp_path: Path) -> None:
    bind = ["--bind", "127.0.0.1:0", "--bind", f"unix:{tmp_path}/s"]
    allow = ["--proxy-protocol", "--proxy-allow-ips", "127.0.0.1,unix"]
    here = server(APP, module=["ferricorn", APP, "--driver", driver, *bind, *allow])
    here.wait_for_count(r"Press CTRL\+C", 2)
    for uds in (None, f"{tmp_path}/s"):
        here.uds = uds
        with here.connect() as proxy:
            proxy.send(LINE + request("GET", "/"))
            assert ends(proxy) == TOLD
        with here.connect() as proxy:
            proxy.send(request("GET", "/"))
            assert proxy.closed()


def test_the_environment_says_so_too(server: StartServer) -> None:
    env = {"FERRICORN_PROXY_PROTOCOL": "1", "FERRICORN_PROXY_ALLOW_IPS": "127.0.0.0/8"}
    here = server(APP, env=env)
    with here.connect() as proxy:
        proxy.send(LINE + request("GET", "/"))
        assert ends(proxy) == TOLD


@pytest.mark.parametrize("driver", DRIVERS)
def test_without_the_option_it_is_a_bad_request(shared_server: StartServer, driver: str) -> None:
    for header in (LINE, binary(BLOCK)):
        with shared_server(APP, driver=driver).connect() as client:
            client.send(header + request("GET", "/"))
            assert client.response().status == 400
            assert client.closed()


def _curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_curl_is_understood(behind: Server) -> None:
    """Its header has its own ends; newer ones can be told another client."""
    done = _curl("--haproxy-protocol", f"{behind.url}/one", f"{behind.url}/two")
    assert done.returncode == 0, done.stderr
    assert "'path': '/one'" in done.stdout
    assert "'path': '/two'" in done.stdout
    assert f"'server': ('127.0.0.1', {behind.port})" in done.stdout
    if "--haproxy-clientip" in _curl("--help", "all").stdout:
        done = _curl("--haproxy-clientip", "192.0.2.7", behind.url)
        assert "'client': ('192.0.2.7'" in done.stdout
    assert _curl(f"{behind.url}/").returncode != 0
