"""An ASGI application behind `a2wsgi.ASGIMiddleware`, served by threads as what it has become."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.server import Server
from tests.wsgi.conftest import Serve

APP = "tests.wsgi.apps.asgi_site:app"


@pytest.fixture
def site(served: Serve) -> Server:
    return served(APP)


def test_its_scope(site: Server) -> None:
    with site.connect() as client:
        client.request("DELETE", "/tell/a%20b?q=%20", ("x-who", "ann"), ("x-who", "bob"))
        assert client.response().json() == {
            "method": "DELETE",
            "path": "/tell/a b",
            "root": "",
            "query": "q=%20",
            "client": "127.0.0.1",
            "who": ["ann,bob"],
        }


def test_its_root(served: Serve) -> None:
    told = served(APP, root_path="/outer").get("/tell/").json()
    assert (told["root"], told["path"]) == ("/outer", "/outer/tell/")


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_body(site: Server, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    with site.connect() as client:
        assert client.post("/digest", data).text == hashlib.sha256(data).hexdigest()


def test_a_body_in_chunks(site: Server) -> None:
    with site.connect() as client:
        client.request("POST", "/digest", ("transfer-encoding", "chunked"))
        for _ in range(100):
            client.chunk(bytes(1000))
        client.chunk(b"")
        assert client.response().text == hashlib.sha256(bytes(100_000)).hexdigest()


def test_a_piece_arrives_before_the_next_is_made(site: Server, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    with site.connect() as client:
        client.request("GET", f"/live?{opened}")
        assert client.head().status == 200
        assert client.read_chunk() == b"first"
        opened.touch()
        assert client.read_chunk() == b"second"
        assert client.read_chunk() == b""


def test_many_at_once(site: Server) -> None:
    def ask(number: int) -> bool:
        return bool(site.get(f"/tell/{number}").json()["path"] == f"/tell/{number}")

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(100)))


def test_an_error_is_500(site: Server) -> None:
    # Starlette answers it, and a2wsgi does not look further: the log has nothing.
    with site.connect() as client:
        assert client.get("/broken").status == 500
        assert client.get("/tell/").status == 200
