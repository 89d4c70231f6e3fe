"""The frameworks' WebSockets as their documentation shows them, on each loop with each driver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import socketio
from tests.conftest import StartServer
from tests.frameworks.conftest import Serve
from tests.support.server import PATIENCE, Server
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

#: Opens a WebSocket: `visit(server, "/path")`.
Visit = Callable[..., ClientConnection]


@pytest.fixture
def visit() -> Iterator[Visit]:
    with ExitStack() as stack:

        def start(server: Server, path: str, **settings: Any) -> ClientConnection:
            url = server.url.replace("http", "ws") + path
            settings = {"proxy": None, "open_timeout": PATIENCE, **settings}
            return stack.enter_context(connect(url, **settings))

        yield start


def closed(peer: ClientConnection) -> tuple[int | None, str | None]:
    """Wait for the server's close, and return its code and reason."""
    with pytest.raises(ConnectionClosed):
        peer.recv(PATIENCE)
    return peer.close_code, peer.close_reason


def refusal(visit: Visit, server: Server, path: str, **settings: Any) -> Any:
    with pytest.raises(InvalidStatus) as caught:
        visit(server, path, **settings)
    return caught.value.response


# FastAPI


def test_fastapi_echoes_and_hears_of_the_end(serve: Serve, visit: Visit) -> None:
    here = serve("fastapi_chat")
    before = len(here.get("/notes/left?count=0").json())
    peer = visit(here, "/ws")
    for text in ("hello", "wörld €", "x" * 100_000):
        peer.send(text)
        assert peer.recv(PATIENCE) == f"Message text was: {text}"
    peer.close(3001, "enough")
    assert here.get(f"/notes/left?count={before + 1}").json()[-1] == [3001, "enough"]


def test_fastapi_has_dependencies(serve: Serve, visit: Visit) -> None:
    here = serve("fastapi_chat")
    peer = visit(here, "/items/a%20b/ws?token=abc&q=3")
    assert json.loads(peer.recv(PATIENCE)) == {"item": "a b", "who": "abc", "q": 3}
    peer.send('{"x": 1}')
    assert json.loads(peer.recv(PATIENCE)) == [{"x": 1}]
    peer.send('"leave"')
    assert closed(peer) == (1003, "enough")
    cookie = {"cookie": "session=s"}
    with visit(here, "/items/i/ws", additional_headers=cookie) as other:
        assert json.loads(other.recv(PATIENCE))["who"] == "s"
    assert refusal(visit, here, "/items/i/ws").status_code == 403
    assert refusal(visit, here, "/nowhere").status_code == 403


def test_fastapi_broadcasts(serve: Serve, visit: Visit) -> None:
    here = serve("fastapi_chat")
    first = visit(here, "/rooms/1")
    assert first.recv(PATIENCE) == "Client #1 joined"
    second = visit(here, "/rooms/2")
    for peer in (first, second):
        assert peer.recv(PATIENCE) == "Client #2 joined"
    second.send("hi")
    for peer in (first, second):
        assert peer.recv(PATIENCE) == "Client #2 says: hi"
    second.close()
    assert first.recv(PATIENCE) == "Client #2 left the chat"


def test_fastapi_fails(serve: Serve, visit: Visit) -> None:
    here = serve("fastapi_chat")
    assert closed(visit(here, "/broken")) == (1011, "")
    here.wait_for("LookupError: this line is dead")


# Starlette


def test_starlette_has_endpoints(serve: Serve, visit: Visit) -> None:
    here = serve("starlette_chat")
    before = len(here.notes("left", 0))
    peer = visit(here, "/rooms/echo/%C3%A4nn", subprotocols=["superchat", "chat"])
    assert peer.subprotocol == "chat"
    assert peer.response is not None
    assert peer.response.headers["x-room"] == "echo"
    peer.send("hello")
    assert peer.recv(PATIENCE) == "änn: hello"
    peer.send(b"not text")
    assert closed(peer)[0] == 1003
    # Starlette raises, and tells its endpoint so.
    assert here.notes("left", before + 1)[-1] == 1011


def test_starlette_iterates(serve: Serve, visit: Visit) -> None:
    here = serve("starlette_chat")
    before = len(here.notes("texts", 0)), len(here.notes("values", 0))
    with visit(here, "/rooms/texts") as peer:
        for text in ("a", "", "ß" * 1000):
            peer.send(text)
            assert peer.recv(PATIENCE) == text.upper()
    with visit(here, "/rooms/values") as peer:
        for value in ({"a": [1, None]}, "text", 1.5):
            peer.send(json.dumps(value))
            assert json.loads(peer.recv(PATIENCE)) == {"got": value}
    with visit(here, "/rooms/blobs") as peer:
        for blob in (b"", b"abc", bytes(range(256)) * 4096):
            peer.send(blob)
            assert peer.recv(PATIENCE) == blob[::-1]
    here.notes("texts", before[0] + 1)
    here.notes("values", before[1] + 1)


def test_starlette_denies(serve: Serve, visit: Visit) -> None:
    here = serve("starlette_chat")
    response = refusal(visit, here, "/rooms/denied")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Basic"
    assert json.loads(response.body) == {"why": "members only"}
    assert refusal(visit, here, "/rooms/refused").status_code == 403
    assert refusal(visit, here, "/rooms/nowhere").status_code == 403


def test_starlette_talks_and_listens_at_once(serve: Serve, visit: Visit) -> None:
    here = serve("starlette_chat")
    before = len(here.notes("both", 0))
    with visit(here, "/rooms/both") as peer:
        for word in ("one", "two"):
            peer.send(word)
            ticks = 0
            while (heard := peer.recv(PATIENCE)) != f"heard {word}":
                assert str(heard).startswith("tick")
                ticks += 1
        assert str(peer.recv(PATIENCE)).startswith("tick")
    here.notes("both", before + 1)


# Quart


def test_quart_echoes(serve: Serve, visit: Visit) -> None:
    here = serve("quart_chat")
    with visit(here, "/echo") as peer:
        peer.send("hello")
        assert peer.recv(PATIENCE) == "echo hello"
        peer.send(b"\0\xff")
        assert peer.recv(PATIENCE) == b"\0\xff"
    assert here.notes("left")[-1] == "cancelled"


def test_quart_has_a_broker(serve: Serve, visit: Visit) -> None:
    here = serve("quart_chat")
    before = len(here.get("/notes/parted?0").json())
    first = visit(here, "/broker")
    second = visit(here, "/broker")
    assert second.response is not None
    assert second.response.headers["x-listeners"] == "2"
    second.send("hi")
    assert [peer.recv(PATIENCE) for peer in (first, second)] == ["hi", "hi"]
    first.close()
    second.close()
    assert here.get(f"/notes/parted?{before + 2}").json()[before:] == [1, 0]


def test_quart_aborts_and_closes(serve: Serve, visit: Visit) -> None:
    here = serve("quart_chat")
    assert refusal(visit, here, "/private").status_code == 401
    assert refusal(visit, here, "/nowhere").status_code == 404
    peer = visit(here, "/private", additional_headers={"authorization": "Basic YW5uOng="})
    assert peer.recv(PATIENCE) == "ann"
    assert closed(peer) == (4000, "bye")


# Django with Channels


def test_channels_has_groups(serve: Serve, visit: Visit) -> None:
    here = serve("channels_chat")
    first = visit(here, "/chat/lobby/", origin=here.url, subprotocols=["chat"])
    assert first.subprotocol == "chat"
    assert first.recv(PATIENCE) == "joined"
    second = visit(here, "/chat/lobby/", origin=here.url)
    assert [peer.recv(PATIENCE) for peer in (first, second)] == ["joined", "joined"]
    second.send("hi")
    assert [peer.recv(PATIENCE) for peer in (first, second)] == ["hi", "hi"]
    first.send(bytes(1000))
    assert [peer.recv(PATIENCE) for peer in (first, second)] == ["1000 bytes"] * 2
    second.close(4000)
    assert first.recv(PATIENCE) == "left 4000"


def test_channels_has_consumers_in_threads(serve: Serve, visit: Visit) -> None:
    here = serve("channels_chat")
    peer = visit(here, "/sums/", origin=here.url)
    for numbers in ([1, 2], list(range(100))):
        peer.send(json.dumps(numbers))
        assert json.loads(peer.recv(PATIENCE)) == {"sum": sum(numbers)}
    peer.send("[]")
    assert closed(peer) == (4001, "")


def test_channels_denies(serve: Serve, visit: Visit) -> None:
    here = serve("channels_chat")
    assert here.get("/", ("host", "127.0.0.1")).text == "plain"
    assert refusal(visit, here, "/chat/closed/", origin=here.url).status_code == 403
    assert refusal(visit, here, "/sums/", origin="https://elsewhere.test").status_code == 403
    visit(here, "/sums/", origin=here.url).send("[]")


# Socket.IO


@pytest.mark.parametrize(
    "transports", [["websocket"], ["polling", "websocket"]], ids=["websocket", "upgrade"]
)
def test_socketio(serve: Serve, transports: list[str]) -> None:
    here = serve("socketio_rooms")

    async def talk() -> None:
        one, other = socketio.AsyncClient(), socketio.AsyncClient()
        heard: asyncio.Queue[Any] = asyncio.Queue()
        gone = asyncio.Event()
        for name, client in (("one", one), ("other", other)):
            client.on("said", lambda message, name=name: heard.put_nowait((name, message)))
            await client.connect(here.url, transports=transports)
            assert client.transport() == "websocket"
        other.on("disconnect", lambda *_: gone.set())
        assert await one.call("add", (1, 2, 3), timeout=PATIENCE) == 6
        assert await one.call("join", "room", timeout=PATIENCE) == "websocket"
        assert await other.call("join", "room", timeout=PATIENCE) == "websocket"
        message = {"text": "wörld", "data": bytes(range(256)), "more": ["x" * 100_000]}
        await one.emit("say", ("room", message))
        got = [await asyncio.wait_for(heard.get(), PATIENCE) for _ in range(2)]
        assert sorted(got, key=lambda each: str(each[0])) == [("one", message), ("other", message)]
        await other.emit("leave")
        await asyncio.wait_for(gone.wait(), PATIENCE)
        await one.disconnect()
        await other.disconnect()

    asyncio.run(talk())


def test_socketio_refuses(serve: Serve) -> None:
    here = serve("socketio_rooms")

    async def talk() -> None:
        client = socketio.AsyncClient(reconnection=False)
        why: list[Any] = []
        client.on("connect_error", why.append)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(here.url, auth="nobody", transports=["websocket"])
        assert why == [{"message": "not you"}]

    asyncio.run(talk())


# Litestar


def test_litestar_listens_and_streams(serve: Serve, visit: Visit) -> None:
    here = serve("litestar_chat")
    peer = visit(here, "/doubles")
    for number in range(3):
        peer.send(json.dumps({"n": number}))
        assert json.loads(peer.recv(PATIENCE)) == {"n": 2 * number}
    stream = visit(here, "/counts")
    assert [stream.recv(PATIENCE) for _ in range(5)] == [f"count {number}" for number in range(5)]
    assert closed(stream)[0] == 1000


def test_litestar_guards(serve: Serve, visit: Visit) -> None:
    here = serve("litestar_chat")
    assert refusal(visit, here, "/guarded").status_code == 403
    peer = visit(here, "/guarded?key=open", subprotocols=["chat"])
    assert peer.subprotocol == "chat"
    peer.send(b"abc")
    assert peer.recv(PATIENCE) == b"abc"


# Sanic


def test_sanic_feeds(serve: Serve, visit: Visit) -> None:
    here = serve("sanic_chat")
    peer = visit(here, "/feed?name=ann")
    for text in ("hello", "wörld"):
        peer.send(text)
        assert peer.recv(PATIENCE) == f"ann: {text}"


@pytest.mark.parametrize(
    "app", ["fastapi_chat", "starlette_chat", "quart_chat", "channels_chat", "litestar_chat"]
)
def test_the_end_of_the_server_is_heard(
    server: StartServer, everywhere: dict[str, str], visit: Visit, app: str
) -> None:
    paths = {
        "fastapi_chat": "/ws",
        "starlette_chat": "/rooms/texts",
        "quart_chat": "/echo",
        "channels_chat": "/chat/x/",
        "litestar_chat": "/doubles",
    }
    here = server(f"tests.frameworks.apps.{app}:app", **everywhere)
    peer = visit(here, paths[app], origin=here.url)
    peer.ping().wait(PATIENCE)
    if app == "channels_chat":
        assert peer.recv(PATIENCE) == "joined"
    assert here.stop() == 0
    assert closed(peer)[0] == 1012
    assert not here.lines("Traceback|ERROR")
