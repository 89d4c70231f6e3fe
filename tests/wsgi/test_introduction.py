"""The applications of PEP 3333's introduction run as they are, and are found out."""

from __future__ import annotations

import pytest
from tests.support.server import Server
from tests.wsgi.conftest import Serve

MODULE = "tests.apps.wsgi_introduction"


@pytest.fixture(params=["auto", "wsgi"])
def interface(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def expect_quiet(server: Server) -> None:
    assert not server.lines("ERROR|WARNING|Traceback")


@pytest.mark.parametrize("name", ["simple_wsgi_app", "decorated", "validated"])
def test_the_function(served: Serve, name: str, interface: str) -> None:
    server = served(f"{MODULE}:{name}", interface=interface)
    with server.connect() as client:
        for method in ("GET", "POST", "PUT"):
            client.request(method, "/anything?at=all", body=b"ignored")
            response = client.response()
            assert (response.status, response.reason) == (200, "OK")
            assert response["content-type"] == "text/plain"
            assert response.body == b"Hello, world!\n"
        client.request("HEAD", "/")
        assert client.response(to_head=True)["content-type"] == "text/plain"
        assert client.get("/").body == b"Hello, world!\n"
    expect_quiet(server)


@pytest.mark.parametrize("name", ["WSGIApp", "instance", "method"])
def test_the_class(served: Serve, name: str, interface: str) -> None:
    server = served(f"{MODULE}:{name}", interface=interface)
    with server.connect() as client:
        assert client.get("/").body == b"Hello, world"
        for number in range(10):
            response = client.get(f"/{number}")
            assert response["content-type"] == "text/plain"
            assert response.body == b"Hello, %d" % number
    expect_quiet(server)


def test_who_says_nothing_has_to_be_told(served: Serve) -> None:
    server = served(f"{MODULE}:silent", interface="wsgi")
    assert server.get("/").body == b"Hello, world!\n"
    expect_quiet(server)


def test_the_log_says_who_says_nothing(fresh: Serve) -> None:
    server = fresh(f"{MODULE}:silent")
    server.wait_for("WARNING.*called as ASGI 3: set --interface")
    assert server.get("/").status == 500


def test_a_factory(served: Serve) -> None:
    server = served(f"{MODULE}:make", factory=True)
    assert server.get("/").body == b"Hello, world!\n"
    expect_quiet(server)


def test_several_workers(fresh: Serve) -> None:
    server = fresh(f"{MODULE}:WSGIApp", workers=2)
    assert server.get("/you").body == b"Hello, you"
