"""The choice between the drivers, and the second one with a native floor that takes notes."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from typing import Any

import pytest

from ferricorn.drivers import choose
from ferricorn.drivers.protocol import ProtocolDriver
from ferricorn.drivers.reactor import ReactorDriver
from ferricorn.endpoint import Endpoint

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


class BlindLoop(asyncio.SelectorEventLoop):
    """A loop that can watch no descriptor, as the proactor loop of Windows."""

    add_reader = asyncio.AbstractEventLoop.add_reader


@pytest.fixture
def loop() -> Any:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_auto_prefers_the_reactor(loop: Any) -> None:
    assert choose("auto", loop) is ReactorDriver


def test_auto_takes_the_protocol_on_a_loop_without_readers() -> None:
    blind = BlindLoop()
    assert choose("auto", blind) is ProtocolDriver
    blind.close()


def test_auto_prefers_the_reactor_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    assert choose("auto", loop) is ReactorDriver
    loop.close()


def test_either_can_be_asked_for(loop: Any) -> None:
    assert choose("reactor", loop) is ReactorDriver
    assert choose("protocol", loop) is ProtocolDriver


class Native:
    """Hands out protocols that note the context they are made in."""

    def __init__(self) -> None:
        self.contexts: list[contextvars.Context] = []
        self.calls: list[str] = []

    def protocol(self) -> asyncio.Protocol:
        self.contexts.append(contextvars.copy_context())
        return asyncio.Protocol()

    def stop(self) -> None:
        self.calls.append("stop")

    def abort(self) -> None:
        self.calls.append("abort")


def test_the_protocol_driver_serves_in_the_given_context_until_it_stops() -> None:
    native: Any = Native()
    context = contextvars.copy_context()
    context.run(VARIABLE.set, "given")

    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        address = sock.getsockname()
        driver = ProtocolDriver(native, asyncio.get_running_loop(), context)
        await driver.start(Endpoint([sock], backlog=5))
        assert driver.servers[0].sockets[0].getsockname() == address
        # A response in two writes must not wait for the client's delayed acknowledgement.
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        _, writer = await asyncio.open_connection(*address)
        while not native.contexts:
            await asyncio.sleep(0.001)
        assert native.contexts[0][VARIABLE] == "given"
        driver.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        driver.close()
        writer.close()

    asyncio.run(main())
    assert native.calls == ["stop", "abort"]
