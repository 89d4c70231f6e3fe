"""Litestar: typed routes and dependencies, streams that watch for their client, tasks, lifespan."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.conftest import StartServer
from tests.frameworks.conftest import Serve
from tests.support.server import Server

SOURCE = Path(__file__).parent / "apps" / "litestar_shop.py"


@pytest.fixture
def shop(serve: Serve) -> Server:
    return serve("litestar_shop")


@pytest.fixture
def client(shop: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(shop)


def test_the_lifespan_surrounds_the_requests(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    running = server("tests.frameworks.apps.litestar_shop:app", lifespan="on", **everywhere)
    assert running.get("/shop/a?amount=1").json()["shop"] == "open"
    assert not running.lines("the shop is closed")
    running.stop()
    assert running.lines("the shop is closed")
    assert not running.lines("Traceback")


def test_a_handler_knows_its_request(shop: Server, client: httpx.Client) -> None:
    response = client.get("/shop/a%20b/é?amount=3")
    assert response.json() == {
        "shop": "open",
        "place": "/a b/é",
        "amount": 3,
        "client": "127.0.0.1",
        "host": f"127.0.0.1:{shop.port}",
    }
    assert response.headers["x-stamp"] == "stamped"
    assert client.get("/shop/a?amount=three").status_code == 400


def test_a_request_is_validated(client: httpx.Client) -> None:
    order = {"item": "nail", "count": 3}
    response = client.post("/orders/7", json=order)
    assert response.status_code == 201
    assert response.json() == {"number": 7, **order}
    assert client.post("/orders/7", json={"item": "nail", "count": "many"}).status_code == 400
    assert client.post("/orders/seven", json=order).status_code == 404


def test_many_at_once_do_not_mix(client: httpx.Client) -> None:
    def ask(number: int) -> bool:
        if number % 3 == 0:
            return client.get("/thread").json() == {"main": False}
        order = {"item": f"nail {number}", "count": number}
        return client.post(f"/orders/{number}", json=order).json() == {"number": number, **order}

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(200)))


def test_dependencies_are_opened_and_closed(shop: Server, client: httpx.Client) -> None:
    before = len(shop.notes("till", 0))
    assert client.get("/pay").json() == ["drawer of till"]
    assert shop.notes("till", before + 3)[before:] == ["opened", "paid", "closed"]


def test_cookies_are_kept(client: httpx.Client) -> None:
    assert [client.get("/visits").text for _ in range(3)] == ["1", "2", "3"]
    assert dict(client.cookies) == {"visits": "3", "last": "visits"}


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_a_body_is_read(client: httpx.Client, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    digest = hashlib.sha256(data).hexdigest()
    assert client.post("/body", content=data).json() == {"size": size, "digest": digest}
    assert client.post("/body/pieces", content=data).json() == {"digest": digest}


def test_a_body_in_chunks_is_read(client: httpx.Client) -> None:
    pieces = [b"%d\n" % number for number in range(3000)]
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    for path in ("/body", "/body/pieces"):
        assert client.post(path, content=iter(pieces)).json()["digest"] == digest


def test_a_body_may_be_too_large(shop: Server) -> None:
    with shop.connect() as client:
        client.send(b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 10000001\r\n\r\n")
        assert client.response().status == 413
    with shop.connect() as client:
        assert client.post("/body", b"small").status == 201


def test_a_file_is_uploaded(client: httpx.Client) -> None:
    data = bytes(range(256)) * 4096
    response = client.post("/upload", data={"note": "hï"}, files={"file": ("a.bin", data)})
    assert response.json() == {
        "name": "a.bin",
        "digest": hashlib.sha256(data).hexdigest(),
        "note": "hï",
    }


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_stream_arrives_whole(client: httpx.Client, encoding: str) -> None:
    response = client.get("/stream", headers={"accept-encoding": encoding})
    assert response.headers.get("content-encoding", "identity") == encoding
    assert response.text.splitlines() == [f"line {number}" for number in range(1000)]


def test_a_stream_ends_when_its_client_leaves(shop: Server) -> None:
    before = len(shop.notes("endless", 0))
    with shop.connect() as client:
        client.request("GET", "/endless")
        assert client.head().status == 200
        assert client.read_chunk() == b"piece"
    shop.notes("endless", before + 1)


def test_an_event_arrives_before_the_next_is_made(shop: Server, client: httpx.Client) -> None:
    with client.stream("GET", "/events", headers={"accept-encoding": "identity"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        arriving = (line for line in response.iter_lines() if line)
        for number in range(3):
            assert next(arriving) == f"data: {number}"
            assert shop.get("/open/events").text == "open"
        assert list(arriving) == []


def test_a_background_task_does_not_hold_up_the_response(shop: Server) -> None:
    before = len(shop.notes("background", 0))
    with shop.connect() as client:
        assert client.get("/background").text == "soon"
        assert client.get("/thread").status == 200
        assert len(shop.notes("background", 0)) == before
        assert shop.get("/open/background").status == 200
        assert shop.notes("background", before + 1)[-1] == "ran"


def test_a_file_is_sent(client: httpx.Client) -> None:
    response = client.get("/file")
    assert response.content == SOURCE.read_bytes()
    assert response.headers["content-length"] == str(SOURCE.stat().st_size)
    assert 'filename="shop.py"' in response.headers["content-disposition"]


def test_large_answers_are_compressed(client: httpx.Client) -> None:
    with client.stream("GET", "/large", headers={"accept-encoding": "gzip"}) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw)) == {"text": "large " * 10000}


def test_an_error_is_an_answer(shop: Server, client: httpx.Client) -> None:
    assert client.get("/broken").status_code == 500
    shop.wait_for("LookupError: no such shelf")
    refused = client.get("/refused")
    assert (refused.status_code, refused.headers["x-why"]) == (418, "teapot")
    assert client.get("/nowhere").status_code == 404
    assert client.delete("/thread").status_code == 405
