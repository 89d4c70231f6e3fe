"""Bottle behind the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server
from tests.wsgi.conftest import Serve


@pytest.fixture
def site(served: Serve) -> Server:
    return served("tests.wsgi.apps.bottle_site:app")


@pytest.fixture
def client(site: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(site)


def test_a_route(client: httpx.Client) -> None:
    response = client.get("/hello/ann%20é?q=ø")
    assert response.json() == {"hello": "ann é", "query": "ø"}
    assert response.headers["x-name"] == "bottle"
    assert client.head("/hello/ann").content == b""
    response = client.get("/nowhere")
    assert (response.status_code, response.text) == (404, "nothing here")


def test_a_signed_cookie(client: httpx.Client) -> None:
    assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("size", [10, 500_000])
def test_a_file_is_uploaded(client: httpx.Client, size: int) -> None:
    files = {"file": ("a.bin", bytes(size))}
    response = client.post("/upload", data={"note": "hï"}, files=files)
    assert response.json() == {"name": "a.bin", "size": size, "note": "hï"}


def test_a_body_is_read(client: httpx.Client) -> None:
    assert client.post("/body", content=bytes(300_000)).json() == {"size": 300_000}


def test_a_body_in_chunks_is_read(client: httpx.Client) -> None:
    # Bottle would decode chunks itself where it is told of them, and there are none left.
    pieces = (bytes(1000) for _ in range(300))
    assert client.post("/body", content=pieces).json() == {"size": 300_000}


def test_a_stream_arrives_whole(client: httpx.Client) -> None:
    assert client.get("/lines").text.splitlines() == [f"line {number}" for number in range(300)]


def test_a_file_is_sent(client: httpx.Client, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    (tmp_path / "file.bin").write_bytes(data)
    where = {"root": str(tmp_path)}
    response = client.get("/static/file.bin", params=where)
    assert response.content == data
    part = client.get("/static/file.bin", params=where, headers={"range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, data[100:300])
    since = {"if-modified-since": response.headers["last-modified"]}
    assert client.get("/static/file.bin", params=where, headers=since).status_code == 304
    assert client.get("/static/none.bin", params=where).status_code == 404


def test_an_error_is_500_and_in_the_log(site: Server, client: httpx.Client) -> None:
    assert client.get("/broken").status_code == 500
    # Bottle writes it to `wsgi.errors`.
    site.wait_for("LookupError: no such shelf")
    assert client.get("/hello/ann").status_code == 200
