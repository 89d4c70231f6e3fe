"""Clients that people use: websockets, httpx-ws and aiohttp, each with its own ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import pytest
from httpx_ws import WebSocketDisconnect, aconnect_ws
from tests.conftest import StartServer
from tests.support.server import PATIENCE, Server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

APP = "tests.apps.sockets:app"


@pytest.fixture
def here(shared_server: StartServer, everywhere: dict[str, str]) -> Server:
    return shared_server(APP, **everywhere)


def run(talk: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def patient() -> None:
        await asyncio.wait_for(talk(), PATIENCE)

    asyncio.run(patient())


@asynccontextmanager
async def visit(server: Server, path: str, **settings: Any) -> AsyncIterator[ClientConnection]:
    url = server.url.replace("http", "ws") + path
    async with connect(url, proxy=None, **settings) as peer:
        yield peer


COMPRESSIONS: dict[str, dict[str, Any]] = {
    "plain": {"compression": None},
    "deflate": {},
    "no takeover": {
        "extensions": [
            ClientPerMessageDeflateFactory(
                server_no_context_takeover=True, client_no_context_takeover=True
            )
        ]
    },
    "small windows": {
        "extensions": [
            ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9)
        ]
    },
}


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=list(COMPRESSIONS))
def test_websockets_echo(here: Server, compression: str) -> None:
    messages = ["", "hello", "wörld €😀" * 1000, b"", b"\0\xff" * 40_000, bytes(3_000_000)]

    async def talk() -> None:
        settings = {"max_size": None, **COMPRESSIONS[compression]}
        async with visit(here, "/echo", **settings) as peer:
            assert bool(peer.protocol.extensions) == (compression != "plain")
            for message in messages:
                await peer.send(message)
                assert await peer.recv() == message
            # Many on their way at once come back in order.
            sending = asyncio.create_task(send_all(peer, [f"number {n}" for n in range(2000)]))
            for n in range(2000):
                assert await peer.recv() == f"number {n}"
            await sending

    run(talk)


async def send_all(peer: ClientConnection, messages: list[Any]) -> None:
    for message in messages:
        await peer.send(message)


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=list(COMPRESSIONS))
def test_websockets_sends_fragments_with_pings_between(here: Server, compression: str) -> None:
    async def talk() -> None:
        async with visit(here, "/echo", **COMPRESSIONS[compression]) as peer:
            pongs: list[Awaitable[float]] = []

            async def pieces() -> AsyncIterator[str]:
                for number in range(50):
                    yield f"piece {number} é "
                    pongs.append(await peer.ping())

            await peer.send(pieces())
            assert await peer.recv() == "".join(f"piece {number} é " for number in range(50))
            assert all(latency >= 0 for latency in await asyncio.gather(*pongs))

    run(talk)


@pytest.mark.parametrize(
    ("query", "code", "reason"), [("", 1000, ""), ("4999&over", 4999, "over"), ("1001", 1001, "")]
)
def test_websockets_is_closed(here: Server, query: str, code: int, reason: str) -> None:
    async def talk() -> None:
        async with visit(here, f"/closes?{query}") as peer:
            with pytest.raises(ConnectionClosed):
                await peer.recv()
            assert (peer.close_code, peer.close_reason) == (code, reason)

    run(talk)


def test_websockets_closes_while_messages_are_on_their_way(here: Server) -> None:
    async def talk() -> None:
        async with visit(here, "/sends?100000", max_queue=None) as peer:
            assert await peer.recv() == b"x" * 100_000
            await peer.close(4000, "enough")
        assert peer.close_code == 4000

    run(talk)


def test_websockets_refuses_what_is_too_large_for_it(server: StartServer) -> None:
    async def talk() -> None:
        fresh = server(APP)
        async with visit(fresh, "/sends?1000", max_size=999) as peer:
            with pytest.raises(ConnectionClosedError) as caught:
                await peer.recv()
            assert caught.value.sent is not None
            assert caught.value.sent.code == 1009
        assert (await asyncio.to_thread(fresh.notes, "stopped"))[0] >= 0
        assert not fresh.lines("Traceback|ERROR")

    run(talk)


def test_websockets_sends_what_is_too_large(server: StartServer) -> None:
    narrow = server(APP, ws_max_size=1000)

    async def talk() -> None:
        for settings in COMPRESSIONS.values():
            async with visit(narrow, "/echo", **settings) as peer:
                await peer.send(b"x" * 1000)
                assert await peer.recv() == b"x" * 1000
                await peer.send(b"x" * 1001)
                with pytest.raises(ConnectionClosedError):
                    await peer.recv()
                assert peer.close_code == 1009

    run(talk)


@pytest.mark.parametrize("compress", [0, 15])
def test_aiohttp(here: Server, compress: int) -> None:
    async def talk() -> None:
        async with aiohttp.ClientSession(here.url) as session:
            async with session.ws_connect("/echo", compress=compress, heartbeat=0.05) as peer:
                await peer.send_str("hello" * 1000)
                assert await peer.receive_str() == "hello" * 1000
                await peer.send_bytes(bytes(1_000_000))
                assert await peer.receive_bytes() == bytes(1_000_000)
                await peer.send_json({"a": [1, 2]})
                assert await peer.receive_json() == {"a": [1, 2]}
                await peer.ping(b"are you there")
                await peer.send_str("still")
                assert await peer.receive_str() == "still"
            assert peer.close_code == 1000
            async with session.ws_connect("/closes?4001&bye") as peer:
                message = await peer.receive()
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4001)
                assert message.extra == "bye"
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect("/denies")
            assert caught.value.status == 403
            async with session.ws_connect("/accepts", protocols=["a", "b"]) as peer:
                assert peer.protocol == "b"

    run(talk)


def test_httpx_ws(here: Server) -> None:
    async def talk() -> None:
        async with httpx.AsyncClient(base_url=here.url, trust_env=False) as client:
            async with aconnect_ws("/echo", client) as peer:
                await peer.send_text("wörld")
                assert await peer.receive_text() == "wörld"
                await peer.send_bytes(bytes(300_000))
                assert await peer.receive_bytes() == bytes(300_000)
                await peer.send_json([1, {}])
                assert await peer.receive_json() == [1, {}]
                pong = await peer.ping()
                # Whoever receives hears of the pong.
                await peer.send_text("after")
                assert await peer.receive_text() == "after"
                await pong.wait()
            async with aconnect_ws("/closes?4001&bye", client) as peer:
                with pytest.raises(WebSocketDisconnect) as caught:
                    await peer.receive_text()
                assert (caught.value.code, caught.value.reason) == (4001, "bye")

    run(talk)


def test_a_crowd_hears_each_other(server: StartServer, everywhere: dict[str, str]) -> None:
    fresh = server(APP, **everywhere)

    async def talk() -> None:
        peers = [await connect(fresh.url.replace("http", "ws") + "/everywhere") for _ in range(50)]
        await asyncio.to_thread(fresh.notes, "joined", 50)
        await asyncio.gather(*(peer.send(f"from {n}") for n, peer in enumerate(peers)))

        async def hear(peer: ClientConnection) -> list[str]:
            return [str(await peer.recv()) for _ in peers]

        heard = await asyncio.gather(*map(hear, peers))
        assert all(sorted(each) == sorted(f"from {n}" for n in range(50)) for each in heard)
        # All hear the same order.
        assert all(each == heard[0] for each in heard)
        await asyncio.gather(*(peer.close() for peer in peers))
        await asyncio.to_thread(fresh.notes, "parted", 50)

    run(talk)
    assert not fresh.lines("Traceback|ERROR")
