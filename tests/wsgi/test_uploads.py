"""Large uploads to a Flask site: they arrive whole, and memory stays where it was.

A body is collected before its thread runs, so that it goes to a file beyond `--wsgi-buffer-size`.
FERRICORN_TEST_UPLOAD is the size in MiB: 1024 is a gibibyte.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator

import psutil
import pytest
from tests.load.test_transfer import Peak
from tests.wsgi.conftest import Serve

MEBI = 1 << 20
COUNT = int(os.environ.get("FERRICORN_TEST_UPLOAD", "96"))
# Next to the body's buffer: what Flask, the sockets and the allocator take meanwhile.
ROOM = 32 * MEBI

APP = "tests.wsgi.apps.upload_site:app"

pytestmark = pytest.mark.skipif(not psutil.LINUX, reason="reads the peak of memory from /proc")

# Nothing that a parser could skip, and line ends as in any file.
PIECE = random.Random(1).randbytes(MEBI)

FORM = ("content-type", "multipart/form-data; boundary=limit")
BEFORE = (
    b'--limit\r\ncontent-disposition: form-data; name="note"\r\n\r\nlarge\r\n'
    b'--limit\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n'
    b"content-type: application/octet-stream\r\n\r\n"
)
AFTER = b"\r\n--limit--\r\n"


def pieces(path: str) -> Iterator[bytes]:
    """Give the octets of a body in portions."""
    if path == "/form":
        yield BEFORE
    for _ in range(COUNT):
        yield PIECE
    if path == "/form":
        yield AFTER


@pytest.mark.parametrize("buffer", [None, 16 * MEBI], ids=["default", "16 MiB"])
@pytest.mark.parametrize("how", ["length", "chunked"])
@pytest.mark.parametrize("path", ["/stream", "/form"])
def test_a_large_upload(fresh: Serve, path: str, how: str, buffer: int | None) -> None:
    server = fresh(APP, threads=2, **({"wsgi_buffer_size": buffer} if buffer else {}))
    headers = [FORM] if path == "/form" else []
    with server.connect() as client:
        # What the first upload loads is not what one takes.
        small = BEFORE + b"x" + AFTER if path == "/form" else b"x"
        assert client.post(path, small, *headers).json()["size"] == 1
        peak = Peak(server)
        if how == "length":
            length = sum(map(len, pieces(path)))
            client.request("POST", path, *headers, ("content-length", str(length)))
            for piece in pieces(path):
                client.send(piece)
        else:
            client.request("POST", path, *headers, ("transfer-encoding", "chunked"))
            for piece in pieces(path):
                client.chunk(piece)
            client.chunk(b"")
        told = client.response().json()
        grown = peak.grown()
        assert client.get("/").text == "ok"
    digest = hashlib.sha256()
    for _ in range(COUNT):
        digest.update(PIECE)
    more = {"name": "a.bin", "note": "large"} if path == "/form" else {}
    assert told == {"size": COUNT * MEBI, "sha256": digest.hexdigest(), **more}
    print(f"{COUNT} MiB {how} to {path}: {grown / MEBI:.1f} MiB more memory")
    assert grown <= (buffer or 0) + ROOM
