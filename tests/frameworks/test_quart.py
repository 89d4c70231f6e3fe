"""Quart: it reads `receive` in a task beside the handler's, and cancels what is left of the two."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.frameworks.conftest import Serve
from tests.support.server import Server

SOURCE = Path(__file__).parent / "apps" / "quart_site.py"


@pytest.fixture
def site(serve: Serve) -> Server:
    return serve("quart_site")


@pytest.fixture
def client(site: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(site)


def test_a_handler_knows_its_request_and_what_was_started(
    site: Server, client: httpx.Client
) -> None:
    assert client.get("/shelf/a%20b/é?q=1&r=%20").json() == {
        "shelf": "open",
        "path": "a b/é",
        "query": {"q": "1", "r": " "},
        "client": "127.0.0.1",
        "host": f"127.0.0.1:{site.port}",
    }


@pytest.mark.parametrize("path", ["/who", "/who/thread"])
def test_context_locals_belong_to_one_request(client: httpx.Client, path: str) -> None:
    def ask(number: int) -> bool:
        name = str(number) if number % 3 else "nobody"
        headers = {"x-who": name} if number % 3 else {}
        return set(client.get(path, headers=headers).json()) == {name}

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(200)))


def test_context_locals_belong_to_one_request_of_a_pipeline(site: Server) -> None:
    names = [f"reader {number}" for number in range(50)]
    with site.connect() as client:
        for name in names:
            client.request("GET", "/who", ("x-who", name))
        assert [set(client.response().json()) for _ in names] == [{name} for name in names]


def test_a_session_is_kept_in_cookies(client: httpx.Client) -> None:
    assert [client.get("/visits").text for _ in range(3)] == ["1", "2", "3"]


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


def test_a_body_may_be_too_large(site: Server, client: httpx.Client) -> None:
    with site.connect() as sending:
        sending.send(b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 4000001\r\n\r\n")
        assert sending.response().status == 413
    assert client.post("/body", content=b"small").status_code == 200


def test_a_file_is_uploaded(client: httpx.Client) -> None:
    data = bytes(range(256)) * 4096
    response = client.post("/upload", data={"note": "hï"}, files={"file": ("a.bin", data)})
    assert response.json() == {
        "name": "a.bin",
        "digest": hashlib.sha256(data).hexdigest(),
        "note": "hï",
    }


def test_a_stream_arrives_whole_in_its_own_context(client: httpx.Client) -> None:
    def ask(name: str) -> bool:
        lines = client.get("/stream", headers={"x-who": name}).text.splitlines()
        return lines == [f"{name} {number}" for number in range(1000)]

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, [f"reader {number}" for number in range(8)]))


def events(response: httpx.Response) -> Iterator[str]:
    return (line for line in response.iter_lines() if line.startswith("data:"))


def test_an_event_arrives_before_the_next_is_made(site: Server, client: httpx.Client) -> None:
    before = len(site.notes("events", 0))
    with client.stream("GET", "/events") as response:
        assert response.headers["content-type"] == "text/event-stream"
        arriving = events(response)
        for number in range(3):
            assert next(arriving) == f"data: {number}"
            assert site.get("/open/events").text == "open"
        assert list(arriving) == []
    site.notes("events", before + 1)


def test_events_end_when_their_client_leaves(site: Server, client: httpx.Client) -> None:
    before = len(site.notes("events", 0))
    with client.stream("GET", "/events") as response:
        assert next(events(response)) == "data: 0"
    site.notes("events", before + 1)


def test_a_background_task_does_not_hold_up_the_response(site: Server) -> None:
    before = len(site.notes("background", 0))
    with site.connect() as client:
        assert client.get("/background").text == "soon"
        assert client.get("/who").status == 200
    assert len(site.notes("background", 0)) == before
    assert site.get("/open/background").status == 200
    assert site.notes("background", before + 1)[-1] == "ran"


def test_a_file_is_sent_whole_and_in_ranges(client: httpx.Client) -> None:
    response = client.get("/file")
    assert response.content == SOURCE.read_bytes()
    assert client.get("/file", headers={"range": "bytes=3-10"}).content == b"A Quart "
    seen = {"if-none-match": response.headers["etag"]}
    assert client.get("/file", headers=seen).status_code == 304
    head = client.head("/file")
    assert head.content == b""
    assert head.headers["content-length"] == str(SOURCE.stat().st_size)


def test_an_error_is_500_and_in_the_log(site: Server, client: httpx.Client) -> None:
    assert client.get("/broken").status_code == 500
    site.wait_for("LookupError: no such shelf")
    assert client.get("/nowhere").status_code == 404
    assert client.delete("/who").status_code == 405
