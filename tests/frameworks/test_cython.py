"""Applications that Cython compiled: recognised for what they are, and served.

They are compiled once, into a directory of the tests' own that the server is told to import from.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import StartServer
from tests.support.cython import compiled as compile_with_cython
from tests.support.server import Server

SOURCE = Path(__file__).parent / "apps" / "compiled.pyx"

KINDS = {
    **dict.fromkeys(["function", "passing", "opaque", "instance", "extension", "method"], "3.0"),
    **dict.fromkeys(["Double", "DoubleExtension", "double"], "2.0"),
}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Compile the applications, and return the directory of the module."""
    return compile_with_cython(SOURCE, tmp_path_factory.mktemp("compiled"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(
    shared_server: StartServer, everywhere: dict[str, str], compiled: str, kind: str
) -> Server:
    return shared_server(f"compiled:{kind}", app_dir=compiled, **everywhere)


def test_it_is_called_as_what_it_is(served: Server, kind: str) -> None:
    with served.connect() as client:
        for size in (0, 1, 300_000):
            assert client.post("/", bytes(size)).text == f"{KINDS[kind]} {size}"
        client.request("POST", "/", ("transfer-encoding", "chunked"))
        for _ in range(10):
            client.chunk(bytes(1000))
        client.chunk(b"")
        assert client.response().text == f"{KINDS[kind]} 10000"
    served.wait_for("ASGI 'lifespan' protocol appears unsupported.")


def test_many_are_called_at_once(served: Server, kind: str) -> None:
    clients = [served.connect() for _ in range(20)]
    for client in clients:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello")
    for client in reversed(clients):
        with client:
            client.send(b"world")
            assert client.response().text == f"{KINDS[kind]} 10"


def test_its_error_is_500_and_in_the_log(served: Server) -> None:
    assert served.get("/broken").status == 500
    served.wait_for("LookupError: no such shelf")
    assert served.get("/").status == 200


def test_a_factory_makes_it(server: StartServer, everywhere: dict[str, str], compiled: str) -> None:
    running = server("compiled:factory", factory=True, app_dir=compiled, **everywhere)
    assert running.get("/").text == "3.0 0"


def test_wsgi_is_told_from_asgi(server: StartServer, compiled: str) -> None:
    running = server("compiled:wsgi", app_dir=compiled)
    assert running.get("/").text == "by WSGI"
