"""Pyramid behind the server, as an application and as a factory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server
from tests.wsgi.conftest import Serve


@pytest.fixture(params=["app", "make"])
def site(served: Serve, request: pytest.FixtureRequest) -> Server:
    options = {"factory": True} if request.param == "make" else {}
    return served(f"tests.wsgi.apps.pyramid_site:{request.param}", **options)


@pytest.fixture
def client(site: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(site)


def test_a_view_knows_its_request(site: Server, client: httpx.Client) -> None:
    assert client.put("/hello/ann%20é?q=ø").json() == {
        "hello": "ann é",
        "query": {"q": "ø"},
        "method": "PUT",
        "host": site.url,
        "client": "127.0.0.1",
    }
    assert client.head("/hello/ann").content == b""
    response = client.get("/nowhere")
    assert (response.status_code, response.text) == (404, "nothing here")


def test_a_session_and_a_redirect(client: httpx.Client) -> None:
    assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]
    assert client.get("/away", follow_redirects=True).json()["hello"] == "there"


@pytest.mark.parametrize("size", [10, 500_000])
def test_a_file_is_uploaded(client: httpx.Client, size: int) -> None:
    files = {"file": ("a.bin", bytes(size))}
    response = client.post("/upload", data={"note": "hï"}, files=files)
    assert response.json() == {"name": "a.bin", "size": size, "note": "hï"}


def test_a_body_is_read(client: httpx.Client) -> None:
    assert client.post("/body", content=bytes(300_000)).json() == {"size": 300_000}


def test_a_body_in_chunks_is_read(client: httpx.Client) -> None:
    pieces = (bytes(1000) for _ in range(300))
    assert client.post("/body", content=pieces).json() == {"size": 300_000}


def test_a_stream_arrives_whole(client: httpx.Client) -> None:
    assert client.get("/lines").text.splitlines() == [f"line {number}" for number in range(300)]


@pytest.mark.parametrize("size", [0, 1_000_000])
def test_a_file_is_sent(client: httpx.Client, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    response = client.get("/file", params={"path": str(tmp_path / "file")})
    assert response.content == b"x" * size
    assert response.headers["content-length"] == str(size)


def test_an_error_has_a_view(client: httpx.Client) -> None:
    response = client.get("/handled")
    assert (response.status_code, response.json()) == (409, {"failed": "handled"})


def test_an_error_is_500_and_in_the_log(site: Server, client: httpx.Client) -> None:
    assert client.get("/broken").status_code == 500
    site.wait_for("LookupError: no such shelf")
    assert client.get("/hello/ann").status_code == 200
