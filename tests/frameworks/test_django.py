"""Django as an ASGI application: it reads bodies into files and cancels views by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.frameworks.conftest import Serve
from tests.support.server import Server


@pytest.fixture
def site(serve: Serve) -> Server:
    return serve("django_site")


@pytest.fixture
def client(site: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(site)


def test_a_view_knows_its_request(site: Server, client: httpx.Client) -> None:
    response = client.get("/plain/a%20b/é?q=1&r=%20", headers={"user-agent": "tester"})
    assert response.json() == {
        "method": "GET",
        "path": "/plain/a b/é",
        "query": {"q": "1", "r": " "},
        "host": f"127.0.0.1:{site.port}",
        "agent": "tester",
        "client": "127.0.0.1",
        "main": False,
    }


def test_a_coroutine_runs_on_the_loop(client: httpx.Client) -> None:
    response = client.get("/coroutine")
    assert response.json() == {"main": True}
    assert response.headers["x-stamp"] == "/coroutine"


def test_a_session_is_kept_in_cookies(client: httpx.Client) -> None:
    assert [client.get("/visits").text for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("size", [10, 99_999, 3_000_000])
def test_a_file_is_uploaded(client: httpx.Client, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    response = client.post("/upload", data={"note": "hi"}, files={"file": ("a.bin", data)})
    assert response.json() == {
        "size": size,
        "digest": hashlib.sha256(data).hexdigest(),
        "note": "hi",
    }


def test_a_body_is_read(client: httpx.Client) -> None:
    assert client.post("/body", content=bytes(1_000_000)).json() == {"size": 1_000_000}
    pieces = (bytes(1000) for _ in range(1000))
    assert client.post("/body", content=pieces).json() == {"size": 1_000_000}


def test_a_body_may_be_too_large(client: httpx.Client) -> None:
    assert client.post("/body", content=bytes(10_000_001)).status_code == 400


@pytest.mark.parametrize("path", ["/stream", "/stream/plain"])
def test_a_stream_arrives_whole(client: httpx.Client, path: str) -> None:
    # Django compresses each piece of an asynchronous stream by itself, which httpx cannot undo.
    lines = client.get(path, headers={"accept-encoding": "identity"}).text.splitlines()
    assert lines == [f"line {number}" for number in range(200)]


def test_a_stream_is_compressed(client: httpx.Client) -> None:
    response = client.get("/stream/plain", headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert response.text.splitlines() == [f"line {number}" for number in range(200)]


def test_a_stream_ends_when_its_client_leaves(site: Server) -> None:
    with site.connect() as leaving:
        leaving.request("GET", "/endless")
        assert leaving.head().status == 200
        assert leaving.read_chunk()
    assert site.get("/closed/stream").status == 200


def test_a_view_is_cancelled_when_its_client_leaves(site: Server) -> None:
    with site.connect() as leaving:
        leaving.request("GET", "/patient")
        assert site.get("/closed/begun").status == 200
    assert site.get("/closed/view").status == 200


def test_a_file_is_sent(client: httpx.Client) -> None:
    source = Path(__file__).parent / "apps" / "django_site.py"
    response = client.get("/file")
    assert response.content == source.read_bytes()


def test_an_error_is_500(client: httpx.Client) -> None:
    assert client.get("/broken").status_code == 500
    assert client.get("/nowhere").status_code == 404
    assert client.get("/coroutine", headers={"host": "elsewhere"}).status_code == 400
