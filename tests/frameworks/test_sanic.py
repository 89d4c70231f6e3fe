"""Sanic as an ASGI application: the lifespan starts it, it drives `receive` itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.conftest import StartServer
from tests.frameworks.conftest import Serve
from tests.support.server import Server

SOURCE = Path(__file__).parent / "apps" / "sanic_site.py"


@pytest.fixture
def site(serve: Serve) -> Server:
    return serve("sanic_site")


@pytest.fixture
def client(site: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(site)


def test_the_lifespan_starts_and_stops_it(server: StartServer, everywhere: dict[str, str]) -> None:
    running = server("tests.frameworks.apps.sanic_site:app", lifespan="on", **everywhere)
    assert running.get("/started").json() == ["before", "after"]
    assert not running.lines("the site stops")
    running.stop()
    assert running.lines("the site stops")
    assert not running.lines("Traceback")


def test_a_handler_knows_its_request(site: Server, client: httpx.Client) -> None:
    response = client.get("/shelf/a%20b/é?q=1&r=%2F")
    assert response.json() == {
        "rest": "a%20b/%C3%A9",  # Sanic asks for the path as it was sent
        "query": {"q": "1", "r": "/"},
        "host": f"127.0.0.1:{site.port}",
        "client": "127.0.0.1",
    }
    assert "x-stamp" in response.headers


def test_context_variables_belong_to_one_request(client: httpx.Client) -> None:
    def ask(number: int) -> bool:
        name = str(number)
        headers = {"x-who": name}
        if number % 2:
            return client.get("/who", headers=headers).json() == [name, name]
        return client.get("/thread", headers=headers).json() == {"who": name, "main": False}

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(200)))
    assert client.get("/who").json() == ["nobody", "nobody"]


def test_cookies_are_kept(client: httpx.Client) -> None:
    assert [client.get("/visits").text for _ in range(3)] == ["1", "2", "3"]
    assert dict(client.cookies) == {"visits": "3", "last": "visits"}


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_a_body_is_read(client: httpx.Client, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    digest = hashlib.sha256(data).hexdigest()
    assert client.post("/body", content=data).json() == {"size": size, "digest": digest}
    assert client.post("/body/pieces", content=data).json() == {"digest": digest}
    assert client.post("/body/back", content=data).content == data


def test_a_body_in_chunks_is_read(client: httpx.Client) -> None:
    pieces = [b"%d\n" % number for number in range(3000)]
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    for path in ("/body", "/body/pieces"):
        assert client.post(path, content=iter(pieces)).json()["digest"] == digest


def test_a_piece_is_sent_back_before_the_next_has_come(site: Server) -> None:
    with site.connect() as client:
        client.request("POST", "/body/back", ("transfer-encoding", "chunked"))
        for number in range(20):
            client.chunk(b"piece %d" % number)
            if not number:
                assert client.head().status == 200
            assert client.read_chunk() == b"piece %d" % number
        client.chunk(b"")
        assert client.read_chunk() == b""


def test_a_file_is_uploaded(client: httpx.Client) -> None:
    data = bytes(range(256)) * 4096
    response = client.post("/upload", data={"note": "hï"}, files={"file": ("a.bin", data)})
    assert response.json() == {
        "name": "a.bin",
        "digest": hashlib.sha256(data).hexdigest(),
        "note": "hï",
    }


def test_a_stream_arrives_whole(client: httpx.Client) -> None:
    lines = client.get("/stream").text.splitlines()
    assert lines == [f"line {number}" for number in range(500)]


def test_an_event_arrives_before_the_next_is_made(site: Server, client: httpx.Client) -> None:
    with client.stream("GET", "/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        arriving = (line for line in response.iter_lines() if line)
        for number in range(3):
            assert next(arriving) == f"data: {number}"
            assert site.get("/open/events").text == "open"
        assert list(arriving) == []


def test_a_background_task_does_not_hold_up_the_response(site: Server) -> None:
    before = len(site.notes("background", 0))
    with site.connect() as client:
        assert client.get("/background").text == "soon"
        assert client.get("/who").status == 200
    assert len(site.notes("background", 0)) == before
    assert site.get("/open/background").status == 200
    assert site.notes("background", before + 1)[-1] == "ran"


@pytest.mark.parametrize("path", ["/file", "/source"])
def test_a_file_is_sent(client: httpx.Client, path: str) -> None:
    assert client.get(path).content == SOURCE.read_bytes()


def test_a_static_file_that_was_seen_is_not_sent_again(client: httpx.Client) -> None:
    response = client.get("/source")
    seen = {"if-modified-since": response.headers["last-modified"]}
    assert client.get("/source", headers=seen).status_code == 304
    head = client.head("/source")
    assert head.content == b""
    assert head.headers["last-modified"] == response.headers["last-modified"]
    assert client.get("/source").content == response.content


def test_an_error_is_an_answer(site: Server, client: httpx.Client) -> None:
    assert client.get("/broken").status_code == 500
    site.wait_for("LookupError: no such shelf")
    assert client.get("/refused").status_code == 418
    assert client.get("/nowhere").status_code == 404
    assert client.delete("/who").status_code == 405
