"""What the server offers WSGI applications beyond what PEP 3333 demands.

`wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling"), early hints, and a
length where the application says none (PEP 3333, "Handling the Content-Length Header").
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.hostile.test_floods import wait_until
from tests.support.client import CutError
from tests.support.server import Server
from tests.wsgi.conftest import Serve
from tests.wsgi.test_start_response import TEXT, answer

APP = "tests.apps.wsgi_responses:app"


# With the validator around it a file is iterated; without it, the server has it as it is.
@pytest.fixture(params=["app", "bare"])
def here(served: Serve, request: pytest.FixtureRequest) -> Server:
    return served(f"tests.apps.wsgi_responses:{request.param}")


@pytest.fixture
def bare(served: Serve) -> Server:
    return served("tests.apps.wsgi_responses:bare")


# A length


@pytest.mark.parametrize("body", [[b"body"], [b""]], ids=repr)
def test_a_single_portion_gets_its_length(bare: Server, body: list[bytes]) -> None:
    response = answer(bare, body=body)
    assert response["content-length"] == str(len(body[0]))
    assert "transfer-encoding" not in response
    assert response.body == body[0]


def test_the_length_is_told_to_http_1_0_too(served: Serve) -> None:
    server = served("tests.apps.wsgi_introduction:simple_wsgi_app")
    with server.connect() as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            response = client.response()
            assert response["content-length"] == "14"
            assert response["connection"] == "keep-alive"


def test_the_length_is_told_to_head_too(served: Serve) -> None:
    server = served("tests.apps.wsgi_introduction:simple_wsgi_app")
    with server.connect() as client:
        client.request("HEAD", "/")
        assert client.response(to_head=True)["content-length"] == "14"
        assert client.get("/").body == b"Hello, world!\n"


def test_an_answer_to_head_without_portions_gets_no_length(bare: Server) -> None:
    # What GET would be answered with is not known.
    with bare.connect() as client:
        body = repr(("200 OK", [TEXT], [])).encode()
        client.request("HEAD", "/script", body=body)
        assert "content-length" not in client.response(to_head=True)
        assert client.get("/").text == "ok"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("body", [[], [b""], [b"a body"]], ids=repr)
def test_a_status_without_a_body_gets_no_length(
    bare: Server, status: str, body: list[bytes]
) -> None:
    assert "content-length" not in answer(bare, status, (("X-One", "1"),), body)


# Files


@pytest.mark.parametrize("size", [0, 1, 8_192, 65_537, 3_000_000])
def test_a_file(here: Server, tmp_path: Path, size: int) -> None:
    data = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    path = tmp_path / "file"
    path.write_bytes(data)
    with here.connect() as client:
        for _ in range(2):
            response = client.get(f"/file?{path}")
            assert response.status == 200
            assert response.body == data
        client.request("HEAD", f"/file?{path}")
        client.response(to_head=True)
        assert client.get("/").text == "ok"


def test_a_file_is_sent_from_where_it_stands(here: Server, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 1000)
    with here.connect() as client:
        response = client.get(f"/file_with_length?{path},5,{256_000 - 5}")
        assert response["content-length"] == str(256_000 - 5)
        assert response.body == (bytes(range(256)) * 1000)[5:]
        assert client.get("/").text == "ok"


def test_a_file_is_sent_as_far_as_was_said(bare: Server, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 10_000)
    with bare.connect() as client:
        client.request("GET", f"/file_with_length?{path},10,50000")
        response = client.response()
        assert response.body == b"0123456789" * 5_000
        # Whether the connection goes on is the server's choice; the file does not.
        client.request("GET", "/", ("connection", "close"))
        rest = client.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 200 ")


def test_a_file_that_is_too_short_is_not_taken_for_whole(bare: Server, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with bare.connect() as client:
        client.request("GET", f"/file_with_length?{path},0,100")
        with pytest.raises(CutError):
            client.response()
    assert bare.get("/").text == "ok"


def test_a_compressed_file_is_sent_as_it_is_read(here: Server, tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"what is in it" * 1000))
    assert here.get(f"/file_unpacked?{path}").body == b"what is in it" * 1000


@pytest.mark.parametrize("size", [0, 9_000, 200_000])
def test_what_is_like_a_file(here: Server, size: int) -> None:
    closed = len(here.lines("^NOTE file closed"))
    assert here.get(f"/file_in_memory?{size}").body == b"m" * size
    here.wait_for_count("^NOTE file closed", closed + 1)


def test_files_are_closed(fresh: Serve, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(5_000_000))
    server = fresh("tests.apps.wsgi_responses:bare")
    for _ in range(10):
        server.get(f"/file?{path}")
    before = server.descriptors()
    for _ in range(100):
        assert len(server.get(f"/file?{path}").body) == 5_000_000
        with server.connect() as leaving:
            leaving.request("GET", f"/file?{path}")
            leaving.exactly(1000)
    wait_until(lambda: server.descriptors() <= before + 1)


# Early hints


def test_early_hints(here: Server) -> None:
    with here.connect() as client:
        response = client.get("/hints")
        assert response.text == "hinted"
        assert [each.status for each in response.interim] == [103, 103]
        assert response.interim[0]["link"] == "</style.css>; rel=preload; as=style"
        assert response.interim[1].all("link") == ["</a.js>; rel=preload", "</b.js>"]
        assert "link" not in response
        assert client.get("/").text == "ok"


def test_http_1_0_gets_no_hints(here: Server) -> None:
    with here.connect() as client:
        client.send(b"GET /hints HTTP/1.0\r\n\r\n")
        assert client.head().status == 200
