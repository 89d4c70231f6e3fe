"""WSGI applications that Cython compiled: recognised for what they are, and served.

They are compiled once, into a directory of the tests' own that the server is told to import from.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.cython import compiled as compile_with_cython
from tests.support.server import Server
from tests.wsgi.conftest import Serve

SOURCE = Path(__file__).parent / "apps" / "compiled_wsgi.pyx"

# What tells nothing of its arguments, and has to be said to be WSGI.
SAID = ["opaque", "IteratedExtension", "extension", "method"]
FOUND = ["function", "generator", "instance", "Iterated"]


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compile_with_cython(SOURCE, tmp_path_factory.mktemp("compiled"))


@pytest.fixture(params=[*FOUND, *(f"wsgi {name}" for name in FOUND + SAID)])
def site(served: Serve, directory: str, request: pytest.FixtureRequest) -> Server:
    interface, _, name = str(request.param).rpartition(" ")
    options = {"interface": interface} if interface else {}
    return served(f"compiled_wsgi:{name}", app_dir=directory, **options)


def test_it_is_served(site: Server) -> None:
    with site.connect() as client:
        for size in (0, 1, 300_000):
            assert client.post("/", bytes(size)).text == f"size {size}"
        client.request("POST", "/", ("transfer-encoding", "chunked"))
        for _ in range(10):
            client.chunk(bytes(1000))
        client.chunk(b"")
        assert client.response().text == "size 10000"


def test_its_error_is_500_and_in_the_log(site: Server) -> None:
    assert site.get("/broken").status == 500
    site.wait_for("LookupError: no such shelf")
    assert site.get("/").status == 200
