"""The scope of a request, to the letter: every key, every value, every type."""

from __future__ import annotations

import ast
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.client import Client
from tests.support.server import Server

APP = "tests.apps.scopes:app"

EXTENSIONS: dict[str, dict[str, Any]] = {
    "ferricorn.drain": {"event": "an event"},
    "http.response.early_hint": {},
    "http.response.pathsend": {},
    "http.response.trailers": {},
    "http.response.zerocopysend": {},
}


def scope_of(client: Client) -> dict[str, Any]:
    """Read the answer that shows a scope."""
    response = client.response()
    assert response.status == 200, response
    return ast.literal_eval(response.text)  # type: ignore[no-any-return]


def scope_for(server: Server, data: bytes) -> dict[str, Any]:
    with server.connect() as client:
        client.send(data)
        return scope_of(client)


@pytest.fixture
def here(shared_server: StartServer) -> Server:
    return shared_server(APP)


def test_a_whole_scope(shared_server: StartServer, everywhere: dict[str, str]) -> None:
    server = shared_server(APP, **everywhere)
    with server.connect() as client:
        client.send(
            b"POST /a%20b/%C3%A9?q=%20&r HTTP/1.1\r\n"
            b"Host: example.org:81\r\n"
            b"X-Twice: 1\r\n"
            b"content-LENGTH: 2\r\n"
            b"x-twice: \t2 \t\r\n"
            b"X-Empty:\r\n"
            b"X-Latin: caf\xe9\r\n\r\nhi"
        )
        assert scope_of(client) == {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", server.port),
            "client": ("127.0.0.1", client.sock.getsockname()[1]),
            "scheme": "http",
            "method": "POST",
            "root_path": "",
            "path": "/a b/é",
            "raw_path": b"/a%20b/%C3%A9",
            "query_string": b"q=%20&r",
            "headers": [
                (b"host", b"example.org:81"),
                (b"x-twice", b"1"),
                (b"content-length", b"2"),
                (b"x-twice", b"2"),
                (b"x-empty", b""),
                (b"x-latin", b"caf\xe9"),
            ],
            "state": {},
            "extensions": EXTENSIONS,
        }


def test_http_1_0_and_no_header_at_all(
    shared_server: StartServer, everywhere: dict[str, str]
) -> None:
    scope = scope_for(shared_server(APP, **everywhere), b"GET / HTTP/1.0\r\n\r\n")
    assert scope["http_version"] == "1.0"
    assert scope["headers"] == []
    assert scope["query_string"] == b""


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/", "/", b"/", b""),
        (b"/?", "/", b"/", b""),
        (b"/x?a=b?c", "/x", b"/x", b"a=b?c"),
        (b"/x?%20+%zz", "/x", b"/x", b"%20+%zz"),
        (b"/a%2fb", "/a/b", b"/a%2fb", b""),
        (b"/a%2Fb", "/a/b", b"/a%2Fb", b""),
        (b"/a+b", "/a+b", b"/a+b", b""),
        (b"/%25%32%30", "/%20", b"/%25%32%30", b""),
        (b"/%2e%2e/%2E/..", "/.././..", b"/%2e%2e/%2E/..", b""),
        (b"/a/../b/./c", "/a/../b/./c", b"/a/../b/./c", b""),
        (b"//a//b/", "//a//b/", b"//a//b/", b""),
        (b"/%3Fnot=query", "/?not=query", b"/%3Fnot=query", b""),
        (b"/%00%0d%0a", "/\0\r\n", b"/%00%0d%0a", b""),
        (b"/%F0%9F%A6%80", "/\N{CRAB}", b"/%F0%9F%A6%80", b""),
        (b"/%ff%fe", "/\ufffd\ufffd", b"/%ff%fe", b""),
        (b"/a%e9b", "/a\ufffdb", b"/a%e9b", b""),
        (b"/%", "/%", b"/%", b""),
        (b"/%4", "/%4", b"/%4", b""),
        (b"/%zz%41", "/%zzA", b"/%zz%41", b""),
        (b"/;a=b,c:d@e!f$g&h'i(j)k*l~m", "/;a=b,c:d@e!f$g&h'i(j)k*l~m", None, b""),
        (b"http://other.example:81/x?y", "/x", b"/x", b"y"),
        (b"http://other.example", "/", b"/", b""),
    ],
)
def test_targets(
    here: Server, target: bytes, path: str, raw_path: bytes | None, query: bytes
) -> None:
    scope = scope_for(here, b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % target)
    assert scope["path"] == path
    assert scope["raw_path"] == (target if raw_path is None else raw_path)
    assert scope["query_string"] == query


def test_the_authority_of_an_absolute_target_is_the_host(here: Server) -> None:
    scope = scope_for(here, b"GET http://other.example:81/ HTTP/1.1\r\nA: b\r\nHost: x\r\n\r\n")
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    assert hosts == [b"other.example:81"]


def test_options_asterisk(here: Server) -> None:
    scope = scope_for(here, b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("OPTIONS", "*", b"*")


@pytest.mark.parametrize(
    "method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "QUERY", "M-SEARCH", "get", "X~!"]
)
def test_methods_are_as_they_were_sent(here: Server, method: str) -> None:
    with here.connect() as client:
        client.request(method, "/")
        assert scope_of(client)["method"] == method


def test_a_hundred_headers_keep_their_order(here: Server) -> None:
    lines = [(b"x-%d" % (index * 7 % 99), b"%d" % index) for index in range(99)]
    data = b"".join(b"%s: %s\r\n" % line for line in lines)
    scope = scope_for(here, b"GET / HTTP/1.1\r\nhost: x\r\n" + data + b"\r\n")
    assert scope["headers"] == [(b"host", b"x"), *lines]


@pytest.mark.parametrize("root", ["/api", "/api/v1", "/d%C3%A9j%C3%A0"])
def test_root_path(shared_server: StartServer, root: str) -> None:
    server = shared_server(APP, root_path=root)
    scope = scope_for(server, b"GET /a%20b?c HTTP/1.1\r\nhost: x\r\n\r\n")
    assert scope["root_path"] == root
    assert scope["raw_path"] == root.encode() + b"/a%20b"
    assert scope["path"] == root + "/a b"
    assert scope["query_string"] == b"c"


def test_what_an_application_writes_into_a_scope_stays_there(here: Server) -> None:
    with here.connect() as client:
        before = ast.literal_eval(client.get("/").text)
        assert client.get("/spoil").status == 200
        assert ast.literal_eval(client.get("/").text) == before
    with here.connect() as client:
        assert ast.literal_eval(client.get("/").text)["extensions"] == EXTENSIONS


@pytest.mark.parametrize("name", EXTENSIONS)
def test_what_all_requests_share_cannot_be_written_into(here: Server, name: str) -> None:
    assert here.get(f"/spoil_shared?{name}").text == "TypeError"


def test_asgi_2(shared_server: StartServer) -> None:
    server = shared_server("tests.apps.scopes:Double")
    scope = scope_for(server, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert scope["asgi"] == {"version": "2.0", "spec_version": "2.3"}


def test_unix_socket(server: StartServer, everywhere: dict[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with server(APP, uds=path, **everywhere).connect() as client:
        client.request("GET", "/")
        scope = scope_of(client)
    assert scope["server"] == (path, None)
    assert scope["client"] is None


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6(server: StartServer, everywhere: dict[str, str]) -> None:
    running = server(APP, host="::1", **everywhere)
    assert running.url == f"http://[::1]:{running.port}"
    with running.connect() as client:
        client.request("GET", "/")
        scope = scope_of(client)
        assert scope["client"] == ("::1", client.sock.getsockname()[1])
    assert scope["server"] == ("::1", running.port)
