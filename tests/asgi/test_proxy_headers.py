"""Requests that come by way of a proxy, over sockets: the scope, and the line in the access log."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.server import Server

APP = "tests.apps.scopes:app"
FROM_A_PROXY = (("X-Forwarded-For", "6.6.6.6, 1.2.3.4"), ("X-Forwarded-Proto", "https"))


def scope_of(server: Server, *headers: tuple[str, str]) -> dict[str, Any]:
    response = server.get("/", *headers)
    assert response.status == 200, response
    return ast.literal_eval(response.text)  # type: ignore[no-any-return]


def test_a_local_proxy_is_believed(server: StartServer, everywhere: dict[str, str]) -> None:
    here = server(APP, **everywhere)
    scope = scope_of(here, *FROM_A_PROXY)
    assert (scope["client"], scope["scheme"]) == (("1.2.3.4", 0), "https")
    here.wait_for(r'^INFO:     1\.2\.3\.4:0 - "GET / HTTP/1\.1" 200 OK$')


@pytest.mark.parametrize(
    "options",
    [{"proxy_headers": False}, {"forwarded_allow_ips": "10.0.0.1"}, {"forwarded_allow_ips": ""}],
    ids=repr,
)
def test_another_peer_is_not(shared_server: StartServer, options: dict[str, Any]) -> None:
    scope = scope_of(shared_server(APP, **options), *FROM_A_PROXY)
    assert (scope["client"][0], scope["scheme"]) == ("127.0.0.1", "http")


def test_everybody_may_be_believed(shared_server: StartServer) -> None:
    scope = scope_of(shared_server(APP, forwarded_allow_ips="*"), *FROM_A_PROXY)
    assert scope["client"] == ("6.6.6.6", 0)


def test_the_environment_says_who_is_believed(shared_server: StartServer) -> None:
    here = shared_server(APP, env={"FORWARDED_ALLOW_IPS": "127.0.0.0/8, 1.2.3.4"})
    assert scope_of(here, *FROM_A_PROXY)["client"] == ("6.6.6.6", 0)


def test_a_proxy_on_a_unix_socket(server: StartServer, tmp_path: Path) -> None:
    here = server(APP, uds=str(tmp_path / "sock"), forwarded_allow_ips="unix")
    assert scope_of(here, *FROM_A_PROXY)["client"] == ("1.2.3.4", 0)
    assert scope_of(here)["client"] is None


def test_other_headers_are_for_those_who_ask(shared_server: StartServer) -> None:
    sent = [
        ("X-Forwarded-Prefix", "/api"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("Forwarded", "for=::1"),
    ]
    scope = scope_of(shared_server(APP), *sent)
    assert (scope["client"], scope["path"]) == (("6.6.6.6", 0), "/")
    here = shared_server(APP, forwarded_headers="forwarded,x-forwarded-prefix")
    assert scope_of(here, sent[0])["path"] == "/api/"
    assert scope_of(here, ("Forwarded", 'for="[2001:db8::1]:9"'))["client"] == ("2001:db8::1", 9)
