"""A server inside of somebody else's program."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import threading
import weakref
from typing import Any

import pytest
from tests.conftest import DRIVERS
from tests.support.client import Client

import ferricorn


class Application:
    """Answers, and can be referred to weakly."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


async def serve_one(application: Application, driver: Any) -> bytes:
    config = ferricorn.Config(
        application, port=0, lifespan="off", log_config=None, access_log=False, driver=driver
    )
    server = ferricorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    address = server.servers[0].sockets[0].getsockname()

    def ask() -> bytes:
        with Client(socket.create_connection(address)) as client:
            return client.get().body

    body = await asyncio.to_thread(ask)
    server.should_exit = True
    await serving
    return body


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_that_has_ended_is_freed(driver: str) -> None:
    """So that a program may start one after the other, as test suites do."""
    seen = []
    for _ in range(3):
        application = Application()
        assert asyncio.run(serve_one(application, driver)) == b"hello"
        seen.append(weakref.ref(application))
        del application
    gc.collect()
    assert [reference() for reference in seen] == [None, None, None]


def config_of(application: Any, **options: Any) -> ferricorn.Config:
    settings = {"port": 0, "log_config": None, "access_log": False, **options}
    return ferricorn.Config(application, **settings)


def ask(address: Any) -> bytes:
    with Client(socket.create_connection(address)) as client:
        return client.get().body


@contextlib.contextmanager
def in_a_thread(server: ferricorn.Server, **arguments: Any) -> Any:
    """Run the server in a thread, as test suites do, and end it."""
    thread = threading.Thread(target=server.run, kwargs=arguments, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.001)
        yield
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("driver", DRIVERS)
def test_own_sockets(driver: Any) -> None:
    """They need not listen yet, and are closed at the end."""
    sockets = [socket.create_server(("127.0.0.1", 0)), socket.socket()]
    sockets[1].bind(("127.0.0.1", 0))
    addresses = [sock.getsockname() for sock in sockets]
    server = ferricorn.Server(config_of(Application(), lifespan="off", driver=driver))
    with in_a_thread(server, sockets=sockets):
        assert [ask(address) for address in addresses] == [b"hello", b"hello"]
        assert [each.sockets[0].getsockname() for each in server.servers] == addresses
    assert [sock.fileno() for sock in sockets] == [-1, -1]


def test_a_socket_that_the_configuration_bound() -> None:
    config = config_of(Application(), lifespan="off")
    sock = config.bind_socket()
    address = sock.getsockname()
    with in_a_thread(ferricorn.Server(config), sockets=[sock]):
        assert ask(address) == b"hello"


def test_a_thread_leaves_signals_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with in_a_thread(ferricorn.Server(config_of(Application(), lifespan="off"))):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_two_servers_in_one_loop() -> None:
    async def main() -> list[bytes]:
        servers = [ferricorn.Server(config_of(Application(), lifespan="off")) for _ in range(2)]
        serving = [asyncio.create_task(server._serve()) for server in servers]
        while not all(server.started for server in servers):
            await asyncio.sleep(0.001)
        addresses = [server.servers[0].sockets[0].getsockname() for server in servers]
        bodies = [await asyncio.to_thread(ask, address) for address in addresses]
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*serving)
        return bodies

    assert asyncio.run(main()) == [b"hello", b"hello"]


def test_a_server_in_steps() -> None:
    """What `serve` does is done one by one by those who replace it."""
    ticks = []

    class Counting(ferricorn.Server):
        async def on_tick(self, counter: int) -> bool:
            ticks.append(counter)
            return await super().on_tick(counter)

    async def main() -> bytes:
        config = config_of(Application(), lifespan="off")
        config.load()
        server = Counting(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        address = server.servers[0].sockets[0].getsockname()
        running = asyncio.create_task(server.main_loop())
        body = await asyncio.to_thread(ask, address)
        server.should_exit = True
        await running
        assert server.server_state.total_requests == 1
        await server.shutdown()
        assert len(server.server_state.connections) == 0
        return body

    assert asyncio.run(main()) == b"hello"
    assert ticks[0] == 0


def test_the_signal_handler_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """By those who want to hear of the end early, and then call the original."""
    heard = []
    original = ferricorn.Server.handle_exit

    def handle_exit(self: ferricorn.Server, sig: int, frame: Any) -> None:
        heard.append(sig)
        original(self, sig, frame)

    monkeypatch.setattr(ferricorn.Server, "handle_exit", handle_exit)

    async def main() -> None:
        server = ferricorn.Server(config_of(Application(), lifespan="off"))
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.001)
        signal.raise_signal(signal.SIGINT)
        await serving

    # Who runs the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_a_task_that_serves_can_be_cancelled() -> None:
    async def main() -> Any:
        server = ferricorn.Server(config_of(Application(), lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.001)
        address = server.servers[0].sockets[0].getsockname()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        return address

    address = asyncio.run(main())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
