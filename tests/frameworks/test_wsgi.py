"""A WSGI application served natively, behind the package's own adapter and the usual ones.

The adapters' threads call back into the loop; in native threads no loop has a part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.frameworks.conftest import Serve
from tests.support.server import Server


@pytest.fixture(params=["wsgi", "by_ours", "by_a2wsgi", "by_asgiref", "by_starlette"])
def archive(serve: Serve, everywhere: dict[str, str], request: pytest.FixtureRequest) -> Server:
    return serve(f"wsgi_archive:{request.param}")


@pytest.fixture
def client(archive: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(archive)


def test_the_environment_is_the_requests(client: httpx.Client) -> None:
    headers = [("x-who", "ann"), ("x-who", "bob")]
    assert client.delete("/tell/a%20b/é?q=%20&r", headers=headers).json() == {
        "REQUEST_METHOD": "DELETE",
        # PEP 3333: octets, each as one character
        "PATH_INFO": "/tell/a b/é".encode().decode("latin-1"),
        "QUERY_STRING": "q=%20&r",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "who": "ann,bob",
        "main": False,
    }


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_a_body_is_uploaded(client: httpx.Client, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    wanted = {"size": size, "digest": hashlib.sha256(data).hexdigest()}
    assert client.post("/digest", content=data).json() == wanted


def test_a_body_is_uploaded_in_chunks(client: httpx.Client) -> None:
    pieces = [b"%d\n" % number for number in range(2000)]
    data = b"".join(pieces)
    wanted = {"size": len(data), "digest": hashlib.sha256(data).hexdigest()}
    assert client.post("/digest", content=iter(pieces)).json() == wanted


def test_a_stream_arrives_whole(client: httpx.Client) -> None:
    response = client.get("/stream")
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.text.splitlines() == [f"line {number}" for number in range(300)]


def test_a_piece_arrives_before_the_next_is_made(archive: Server, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    with archive.connect() as client:
        client.request("GET", f"/live?{opened}")
        assert client.head().status == 200
        assert client.read_chunk() == b"first"
        opened.touch()
        assert client.read_chunk() == b"second"
        assert client.read_chunk() == b""


def test_many_at_once_do_not_mix(client: httpx.Client) -> None:
    def ask(number: int) -> bool:
        if number % 5 == 0:
            return client.get("/stream").text.endswith("line 299\n")
        if number % 2:
            data = b"%d" % number * 20_000
            answer = client.post("/digest", content=data).json()
            return answer == {"size": len(data), "digest": hashlib.sha256(data).hexdigest()}
        headers = {"x-who": str(number)}
        return client.get("/tell", headers=headers).json()["who"] == str(number)

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(120)))


def test_uploads_that_are_abandoned_hold_no_thread(archive: Server) -> None:
    for _ in range(20):  # more than either adapter has threads
        with archive.connect() as leaving:
            leaving.send(b"POST /digest HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nthe")
    assert archive.get("/tell").status == 200


def test_pipelined_requests_are_answered_in_order(archive: Server) -> None:
    with archive.connect() as client:
        for number in range(20):
            client.request("GET", "/tell", ("x-who", str(number)))
        assert [client.response().json()["who"] for _ in range(20)] == [
            str(number) for number in range(20)
        ]


def test_an_answer_to_head_has_no_body(archive: Server) -> None:
    with archive.connect() as client:
        client.request("HEAD", "/tell")
        assert int(client.response(to_head=True)["content-length"]) > 0
        assert client.get("/nothing").status == 404


def test_an_error_is_500_and_in_the_log(archive: Server, client: httpx.Client) -> None:
    assert client.get("/broken").status_code == 500
    archive.wait_for("LookupError: no such shelf")
    assert client.get("/tell").status_code == 200
