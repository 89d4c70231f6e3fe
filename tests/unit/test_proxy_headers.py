"""Proxy headers: whose word counts, and what a scope becomes by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ferricorn.middleware.proxy_headers import (
    FORWARDED_HEADERS,
    ProxyHeadersMiddleware,
    TrustedHosts,
    header_names,
)

PEER = ("127.0.0.1", 4000)

Lines = list[tuple[str, str]]


def seen(
    lines: Lines,
    trusted: Any = "127.0.0.1",
    headers: Any = FORWARDED_HEADERS,
    **changes: Any,
) -> dict[str, Any]:
    """Return the scope that an application gets behind the middleware."""
    scope: dict[str, Any] = {
        "type": "http",
        "client": PEER,
        "scheme": "http",
        "path": "/path",
        "raw_path": b"/path",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in lines],
        **changes,
    }
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    async def channel(*_: Any) -> Any: ...

    asyncio.run(ProxyHeadersMiddleware(app, trusted, headers)(scope, channel, channel))
    assert scopes == [scope]
    return scope


def client(value: str, trusted: Any = "127.0.0.1") -> Any:
    return seen([("X-Forwarded-For", value)], trusted)["client"]


@pytest.mark.parametrize(
    ("trusted", "host", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("::ffff:10.0.0.0/104", "10.9.9.9", True),
        ("::ffff:10.0.0.0/104", "11.0.0.1", False),
        ("10.0.0.0/8, ::1", "10.1.2.3", True),
        ("10.0.0.0/8, ::1", "11.1.2.3", False),
        ("10.0.0.0/8, ::1", "::1", True),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("2001:db8::/32", "2001:DB8:0::7", True),
        (["10.0.0.1", "10.0.0.2"], "10.0.0.2", True),
        ("0.0.0.0/0", "9.9.9.9", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("testclient", "testclient", True),
        ("testclient", "other", False),
        ("127.0.0.1", None, False),
        ("unix", None, True),
        ("*", None, True),
        ("*", "anything", True),
        (["*"], "9.9.9.9", True),
        ("", "127.0.0.1", False),
        ([], None, False),
        ("300.0.0.1", "127.0.0.1", False),
    ],
)
def test_trust(trusted: Any, host: str | None, expected: bool) -> None:
    assert (host in TrustedHosts(trusted)) is expected


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ("127.0.0.1, ::1", {"127.0.0.1/32", "::1/128"}),
        ("10.1.2.3/8, unix", {"10.0.0.0/8", "unix"}),
        (["::ffff:10.0.0.0/104", "*"], {"10.0.0.0/8", "*"}),
        ("", set()),
    ],
)
def test_a_list_for_the_native_floor(trusted: Any, expected: set[str]) -> None:
    assert set(TrustedHosts(trusted).peers()) == expected


@pytest.mark.parametrize("name", ["testclient", "10.0.0.0/33", "300.0.0.1", "fe80::1%eth0"])
def test_a_name_is_none_of_its_entries(name: str) -> None:
    with pytest.raises(ValueError, match=f"^'{name}' is no address, no network, "):
        TrustedHosts(f"127.0.0.1,{name}").peers()


@pytest.mark.parametrize(
    ("value", "trusted", "expected"),
    [
        ("1.2.3.4", "127.0.0.1", ("1.2.3.4", 0)),
        ("1.2.3.4:99", "127.0.0.1", ("1.2.3.4", 99)),
        ("2001:db8::1", "127.0.0.1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", "127.0.0.1", ("2001:db8::1", 0)),
        ("[2001:db8::1]:99", "127.0.0.1", ("2001:db8::1", 99)),
        ("::ffff:1.2.3.4", "127.0.0.1", ("1.2.3.4", 0)),
        (" , 1.2.3.4 ,, ", "127.0.0.1", ("1.2.3.4", 0)),
        # From the right to the first that is not trusted.
        ("6.6.6.6, 1.2.3.4", "127.0.0.1", ("1.2.3.4", 0)),
        ("6.6.6.6, 1.2.3.4, 10.0.0.1", "127.0.0.1, 10.0.0.0/8", ("1.2.3.4", 0)),
        ("6.6.6.6, 1.2.3.4:5, 10.0.0.1:80", "127.0.0.1, 10.0.0.0/8", ("1.2.3.4", 5)),
        ("6.6.6.6, 1.2.3.4, ::ffff:10.0.0.1", "127.0.0.1, 10.0.0.0/8", ("1.2.3.4", 0)),
        ("6.6.6.6, 1.2.3.4, [::1]:7", "127.0.0.1, ::1", ("1.2.3.4", 0)),
        ("1.2.3.4, front, 10.0.0.1", "127.0.0.1, 10.0.0.1, front", ("1.2.3.4", 0)),
        ("1.2.3.4, unix:///x", "127.0.0.1, unix:///x", ("1.2.3.4", 0)),
        # Where all are trusted, the first of them.
        ("10.0.0.2, 10.0.0.1", "127.0.0.1, 10.0.0.0/8", ("10.0.0.2", 0)),
        # Everybody is trusted.
        ("6.6.6.6, 1.2.3.4", "*", ("6.6.6.6", 0)),
        # What names no address ends the walk, and the client stays.
        ("", "127.0.0.1", PEER),
        ("6.6.6.6, unknown", "127.0.0.1", PEER),
        ("6.6.6.6, _hidden, 10.0.0.1", "127.0.0.1, 10.0.0.1", PEER),
        ("6.6.6.6, 1.2.3.4:65536", "127.0.0.1", PEER),
        ("1.2.3.4:", "127.0.0.1", PEER),
        ("1.2.3.4:-1", "127.0.0.1", PEER),
        ("1.2.3.4:\xb2", "127.0.0.1", PEER),
        ("[::1", "127.0.0.1", PEER),
        ("[::1]x", "127.0.0.1", PEER),
        ("1.2.3.4.5", "127.0.0.1", PEER),
        ("01.2.3.4", "127.0.0.1", PEER),
        ("<script>", "*", PEER),
        ("1" * 5000, "127.0.0.1", PEER),
    ],
)
def test_the_client(value: str, trusted: str, expected: tuple[str, int]) -> None:
    assert client(value, trusted) == expected


def test_lines_of_one_header_are_one_list() -> None:
    lines = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "1.2.3.4, 10.0.0.1")]
    assert seen(lines, "127.0.0.1,10.0.0.1")["client"] == ("1.2.3.4", 0)


def test_who_is_not_trusted_is_not_heard() -> None:
    lines = [
        ("Host", "example.org"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "for=1.2.3.4"),
    ]
    for peer in (("9.9.9.9", 1), None):
        scope = seen(lines, client=peer)
        assert (scope["client"], scope["scheme"], scope["path"]) == (peer, "http", "/path")
        assert scope["headers"][0] == (b"host", b"example.org")


def test_a_peer_on_a_unix_socket() -> None:
    lines = [("X-Forwarded-For", "1.2.3.4")]
    assert seen(lines, "unix", client=None)["client"] == ("1.2.3.4", 0)


@pytest.mark.parametrize(
    ("type", "value", "scheme"),
    [
        ("http", "https", "https"),
        ("http", "HTTPS", "https"),
        ("http", "wss", "https"),
        ("http", "ws", "http"),
        ("http", "gopher", "http"),
        ("http", "", "http"),
        ("websocket", "https", "wss"),
        ("websocket", "wss", "wss"),
        ("websocket", "http", "ws"),
    ],
)
def test_the_scheme(type: str, value: str, scheme: str) -> None:
    before = "ws" if type == "websocket" else "http"
    lines = [("X-Forwarded-Proto", value)]
    assert seen(lines, type=type, scheme=before)["scheme"] == scheme


def test_the_scheme_is_the_one_that_the_clients_own_proxy_saw() -> None:
    both = [("X-Forwarded-For", "6.6.6.6, 1.2.3.4, 10.0.0.1")]
    trusted = "127.0.0.1, 10.0.0.1"
    lines = [*both, ("X-Forwarded-Proto", "http, https, http")]
    assert seen(lines, trusted)["scheme"] == "https"
    # Of a list of another length, the last value is the nearest proxy's.
    lines = [*both, ("X-Forwarded-Proto", "http, https")]
    assert seen(lines, trusted)["scheme"] == "https"


@pytest.mark.parametrize(
    ("lines", "host"),
    [
        ([("X-Forwarded-Host", "example.org")], b"example.org"),
        ([("X-Forwarded-Host", "example.org:81")], b"example.org:81"),
        ([("X-Forwarded-Host", "[2001:db8::1]:81")], b"[2001:db8::1]:81"),
        ([("X-Forwarded-Host", "example.org"), ("X-Forwarded-Port", "81")], b"example.org:81"),
        ([("X-Forwarded-Host", "a:1"), ("X-Forwarded-Port", "81")], b"a:1"),
        ([("X-Forwarded-Port", "81")], b"inner:81"),
        ([("X-Forwarded-Port", "80")], b"inner"),
        ([("X-Forwarded-Port", "443"), ("X-Forwarded-Proto", "https")], b"inner"),
        ([("X-Forwarded-Port", "443")], b"inner:443"),
        ([("X-Forwarded-Port", "65536")], b"inner:8000"),
        ([("X-Forwarded-Port", "many")], b"inner:8000"),
        ([("X-Forwarded-Host", "a/b")], b"inner:8000"),
        ([("X-Forwarded-Host", "a@b")], b"inner:8000"),
        ([("Forwarded", "host=example.org")], b"example.org"),
    ],
)
def test_the_host(lines: Lines, host: bytes) -> None:
    scope = seen([("Host", "inner:8000"), *lines])
    assert [value for name, value in scope["headers"] if name == b"host"] == [host]


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/a/b.c", "/a/b.c"),
        ("/", ""),
        ("api", ""),
        ("//evil.example", ""),
        ("/a/../b", ""),
        ("/a b", ""),
        ("/a?b", ""),
    ],
)
def test_the_prefix(value: str, prefix: str) -> None:
    scope = seen([("X-Forwarded-Prefix", value)], root_path="/root", path="/root/x", raw_path=b"/r")
    assert scope["root_path"] == f"{prefix}/root"
    assert scope["path"] == f"{prefix}/root/x"
    assert scope["raw_path"] == f"{prefix}/r".encode()


@pytest.mark.parametrize(
    ("value", "expected", "scheme"),
    [
        ("for=1.2.3.4", ("1.2.3.4", 0), "http"),
        ('For="1.2.3.4:99";Proto=https;by=10.0.0.1', ("1.2.3.4", 99), "https"),
        ('for="[2001:db8::1]:99"', ("2001:db8::1", 99), "http"),
        ("for=[2001:db8::1]", ("2001:db8::1", 0), "http"),
        ('for="1.2.3\\.4"', ("1.2.3.4", 0), "http"),
        ("for=6.6.6.6;proto=https, for=1.2.3.4;proto=http", ("1.2.3.4", 0), "http"),
        ("for=1.2.3.4;proto=https, for=10.0.0.1;proto=http", ("1.2.3.4", 0), "https"),
        ("for=6.6.6.6, for=unknown;proto=https", PEER, "https"),
        ("for=6.6.6.6, for=_hidden", PEER, "http"),
        ("for=6.6.6.6, proto=https", PEER, "https"),
        ("for=1.2.3.4;;, ,", ("1.2.3.4", 0), "http"),
        # Malformed: as if it were not there.
        ("for=1.2.3.4;for=6.6.6.6", PEER, "http"),
        ('for="1.2.3.4', PEER, "http"),
        ("for = 1.2.3.4", PEER, "http"),
        ("for=1.2.3.4 proto=https", PEER, "http"),
        ("=;=", PEER, "http"),
    ],
)
def test_the_standard_header(value: str, expected: tuple[str, int], scheme: str) -> None:
    scope = seen([("Forwarded", value)], "127.0.0.1, 10.0.0.1")
    assert (scope["client"], scope["scheme"]) == (expected, scheme)


def test_the_standard_header_comes_first() -> None:
    lines = [("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=1.2.3.4")]
    assert seen(lines)["client"] == ("1.2.3.4", 0)


def test_only_the_headers_that_are_asked_for_are_read() -> None:
    lines = [("Host", "a"), ("X-Forwarded-Host", "b"), ("Forwarded", "for=6.6.6.6")]
    scope = seen(lines, headers="X-Forwarded-For")
    assert (scope["client"], scope["headers"][0]) == (PEER, (b"host", b"a"))
    assert header_names(" Forwarded ,x-forwarded-for") == ["forwarded", "x-forwarded-for"]
    with pytest.raises(ValueError, match="'x-real-ip' is none of "):
        header_names(["x-real-ip"])


def test_a_lifespan_passes_through() -> None:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    async def channel(*_: Any) -> Any: ...

    asyncio.run(ProxyHeadersMiddleware(app, "*")({"type": "lifespan"}, channel, channel))
    assert scopes == [{"type": "lifespan"}]
