"""WSGI applications in a part of an ASGI application, by each of the adapters.

What is mounted learns in `SCRIPT_NAME` where it stands, and in `PATH_INFO` what is left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.conftest import StartServer
from tests.frameworks.conftest import Serve
from tests.support.server import Server

MODULE = "tests.frameworks.apps.wsgi_archive"
ADAPTERS = ["ours", "a2wsgi", "asgiref", "starlette"]


@pytest.fixture(params=["in_starlette", "in_fastapi"])
def site(serve: Serve, request: pytest.FixtureRequest) -> Server:
    return serve(f"wsgi_archive:{request.param}")


@pytest.fixture(params=ADAPTERS)
def mount(request: pytest.FixtureRequest) -> str:
    return f"/mounted/{request.param}"


@pytest.fixture
def client(site: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(site)


def test_it_knows_its_place(client: httpx.Client, mount: str) -> None:
    assert client.get(f"{mount}/place").json() == [mount, "/place"]
    # PEP 3333: octets, each as one character
    octets = "/place/a b/é".encode().decode("latin-1")
    assert client.get(f"{mount}/place/a%20b/é").json() == [mount, octets]
    assert client.get(f"{mount}/place{mount}").json() == [mount, f"/place{mount}"]


@pytest.mark.parametrize("name", ADAPTERS)
def test_it_knows_its_place_below_a_root(
    shared_server: StartServer, everywhere: dict[str, str], name: str
) -> None:
    server = shared_server(f"{MODULE}:in_starlette", root_path="/outer", **everywhere)
    told = server.get(f"/mounted/{name}/place").json()
    assert told == [f"/outer/mounted/{name}", "/place"]


def test_its_own_root_is_a_slash(client: httpx.Client, mount: str) -> None:
    # Nothing is there, and that is its answer and not the router's.
    response = client.get(f"{mount}/")
    assert (response.status_code, response.content) == (404, b"")


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_body_is_uploaded(client: httpx.Client, mount: str, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    wanted = {"size": size, "digest": hashlib.sha256(data).hexdigest()}
    assert client.post(f"{mount}/digest", content=data).json() == wanted


def test_a_piece_arrives_before_the_next_is_made(site: Server, mount: str, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    with site.connect() as client:
        client.request("GET", f"{mount}/live?{opened}")
        assert client.head().status == 200
        assert client.read_chunk() == b"first"
        opened.touch()
        assert client.read_chunk() == b"second"
        assert client.read_chunk() == b""


def test_an_error_is_500_and_in_the_log(site: Server, client: httpx.Client, mount: str) -> None:
    before = len(site.lines("LookupError: no such shelf"))
    assert client.get(f"{mount}/broken").status_code == 500
    site.wait_for_count("LookupError: no such shelf", before + 1)
    assert client.get(f"{mount}/place").json() == [mount, "/place"]


def test_an_error_in_a_response_cuts_it(site: Server, mount: str) -> None:
    before = len(site.lines("LookupError: no second part"))
    with site.connect() as client:
        client.request("GET", f"{mount}/failing")
        assert client.head().status == 200
        rest = client.rest()
    assert b"first" in rest
    assert not rest.endswith(b"0\r\n\r\n")
    site.wait_for_count("LookupError: no second part", before + 1)
