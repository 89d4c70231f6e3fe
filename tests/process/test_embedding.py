"""A server inside of somebody else's program."""

from __future__ import annotations

import asyncio
import gc
import socket
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
