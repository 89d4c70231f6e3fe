"""Starlette: what it builds on the server's `receive`, `send` and tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.frameworks.conftest import Serve
from tests.support.server import Server

Browse = Callable[[Server], httpx.Client]

# The endpoints below a middleware that wraps `receive` and `send`, and below none.
MOUNTS = ["", "/stamped", "/twice"]


@pytest.fixture
def site(serve: Serve) -> Server:
    return serve("starlette_site")


@pytest.fixture
def client(site: Server, browse: Browse) -> httpx.Client:
    return browse(site)


def test_a_mount_knows_where_it_is(site: Server, client: httpx.Client) -> None:
    found = client.get("/stamped/where/a%20b/%C3%A9?q=1&r=%2F").json()
    assert found.pop("url").startswith(f"{site.url}/stamped/where/a")
    assert found == {
        "path": "/stamped/where/a b/é",
        "parameters": {"place": "a b/é"},
        "query": {"q": "1", "r": "/"},
        "client": "127.0.0.1",
    }


def test_a_static_file_is_the_file(client: httpx.Client) -> None:
    source = Path(__file__).parent / "apps" / "starlette_site.py"
    response = client.get("/static/starlette_site.py")
    assert response.content == source.read_bytes()
    assert response.headers["content-length"] == str(source.stat().st_size)
    head = client.head("/static/starlette_site.py")
    assert head.content == b""
    for name in ("content-length", "content-type", "etag", "last-modified"):
        assert head.headers[name] == response.headers[name]


def test_a_static_file_that_was_seen_is_not_sent_again(client: httpx.Client) -> None:
    etag = client.get("/static/starlette_site.py").headers["etag"]
    response = client.get("/static/starlette_site.py", headers={"if-none-match": etag})
    assert response.status_code == 304
    assert response.content == b""
    assert client.get("/static/starlette_site.py", headers={"range": "bytes=0-9"}).content == (
        b'"""A Starl'
    )


def test_a_static_file_may_be_missing(client: httpx.Client) -> None:
    assert client.get("/static/nothing").status_code == 404
    assert client.get("/static/../conftest.py").status_code == 404
    assert client.get("/static/%2e%2e/conftest.py").status_code == 404


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("size", [0, 1, 70_000, 1_000_000])
def test_a_body_comes_back(client: httpx.Client, mount: str, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    response = client.post(f"{mount}/echo", content=body[:size])
    assert response.content == body[:size]
    assert ("x-stamp" in response.headers) == bool(mount)


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_body_may_be_read_while_it_is_sent(client: httpx.Client, mount: str) -> None:
    pieces = [b"%d\n" % number for number in range(5000)]
    response = client.post(f"{mount}/digest", content=iter(pieces))
    assert response.text == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_a_middleware_may_read_the_body_first(client: httpx.Client) -> None:
    response = client.post("/measured/echo", content=bytes(100_000))
    assert response.headers["x-size"] == "100000"
    assert response.content == bytes(100_000)


def test_an_endpoint_notices_that_its_client_left(site: Server) -> None:
    """Without a middleware: with one, Starlette's question is cancelled before it is asked."""
    before = len(site.notes("patient", 0))
    with site.connect() as client:
        client.request("GET", "/patient")
        site.notes("patient", before + 1)
    assert site.notes("patient", before + 2)[-1] == "stopped"


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_client_that_waits_for_its_answer_is_there(site: Server, mount: str) -> None:
    with site.connect() as client:
        response = client.post(f"{mount}/present", bytes(200_000))
        assert response.json() == {"gone": [False, False, False], "size": 200_000}
        assert client.post(f"{mount}/present", b"hello").json()["size"] == 5


@pytest.mark.parametrize("mount", MOUNTS)
def test_an_upload_may_be_abandoned(site: Server, mount: str) -> None:
    before = len(site.notes("upload", 0))
    with site.connect() as client:
        client.send(
            f"POST {mount}/abandoned HTTP/1.1\r\nhost: a\r\n"
            "content-length: 100000\r\n\r\nthe beginning".encode()
        )
        site.notes("upload", before + 1)
    assert site.notes("upload", before + 2)[-1] == "abandoned"


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_stream_ends_when_its_client_leaves(site: Server, mount: str) -> None:
    before = len(site.notes("endless", 0))
    with site.connect() as client:
        client.request("GET", f"{mount}/endless")
        assert client.head().status == 200
        assert client.read_chunk() == b"piece"
    site.notes("endless", before + 1)


@pytest.mark.parametrize("mount", MOUNTS)
def test_task_groups_and_threads_gather(client: httpx.Client, mount: str) -> None:
    assert client.get(f"{mount}/group").json() == {
        "thread": 42,
        **{f"find {number}": True for number in range(5)},
    }


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_body_that_does_not_come_may_be_given_up(site: Server, mount: str) -> None:
    with site.connect() as client:
        client.send(
            f"POST {mount}/scope HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello".encode()
        )
        assert client.response().text == "given up"


@pytest.mark.parametrize("mount", MOUNTS)
def test_waiting_has_an_end_by_every_means(client: httpx.Client, mount: str) -> None:
    assert client.get(f"{mount}/waiting").json() == ["event", "receive", "wait_for"]
    assert client.get(f"{mount}/waiting").json() == ["event", "receive", "wait_for"]


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_task_that_awaits_the_clients_leaving_may_be_cancelled(
    client: httpx.Client, mount: str
) -> None:
    for _ in range(3):
        assert client.get(f"{mount}/racing").text == "worked"


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_background_task_does_not_hold_up_the_response(site: Server, mount: str) -> None:
    before = len(site.notes("background", 0))
    with site.connect() as client:
        assert client.get(f"{mount}/background").text == "soon"
        assert client.get(f"{mount}/where/next").status == 200
        assert len(site.notes("background", 0)) == before
        assert site.get("/pass/background").status == 200
        site.notes("background", before + 1)


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_client_may_leave_before_the_background_task(site: Server, mount: str) -> None:
    before = len(site.notes("background", 0))
    with site.connect() as client:
        assert client.get(f"{mount}/background").text == "soon"
    assert site.get("/pass/background").status == 200
    site.notes("background", before + 1)


@pytest.mark.parametrize("mount", MOUNTS)
def test_an_error_is_500_and_in_the_log(site: Server, mount: str) -> None:
    with site.connect() as client:
        assert client.get(f"{mount}/broken").status == 500
    site.wait_for("LookupError: nothing is here")
