"""The applications of the common introduction to ASGI run as they are."""

from __future__ import annotations

from tests.conftest import StartServer


def test_the_function(shared_server: StartServer, everywhere: dict[str, str]) -> None:
    server = shared_server("tests.apps.introduction:simple_asgi_app", **everywhere)
    with server.connect() as client:
        for method in ("GET", "POST", "PUT"):
            client.request(method, "/anything?at=all")
            response = client.response()
            assert response.status == 200
            assert response["content-type"] == "text/plain"
            assert response.body == b"Hello, world!"
        client.request("HEAD", "/")
        assert client.response(to_head=True)["content-type"] == "text/plain"
        assert client.get("/").body == b"Hello, world!"
    server.wait_for("ASGI 'lifespan' protocol appears unsupported.")
    assert not server.lines("ERROR|Traceback")


def test_the_class(shared_server: StartServer, everywhere: dict[str, str]) -> None:
    server = shared_server("tests.apps.introduction:application", **everywhere)
    with server.connect() as client:
        assert client.get("/you").body == b"Good day, you"
        assert client.post("/", b"and you").body == b"Good day, and you"
        assert client.get("/").body == b"Good day, world"
    assert not server.lines("ERROR|Traceback")
