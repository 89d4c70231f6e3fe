"""Lifespans: how applications start and end, well and badly."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from ferricorn.config import Config
from ferricorn.lifespan.off import LifespanOff
from ferricorn.lifespan.on import LifespanOn

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def lifespan_of(app: Any, mode: Any = "auto") -> LifespanOn:
    return LifespanOn(Config(app, lifespan=mode, log_config=None))


async def live(lifespan: LifespanOn) -> None:
    await lifespan.startup()
    if not lifespan.should_exit:
        await lifespan.shutdown()


async def well(scope: Any, receive: Any, send: Any) -> None:
    VARIABLE.set("by the lifespan")
    scope["state"]["answer"] = 42
    for step in ("startup", "shutdown"):
        assert await receive() == {"type": f"lifespan.{step}"}
        await send({"type": f"lifespan.{step}.complete"})


STARTED = ["INFO: Waiting for application startup.", "INFO: Application startup complete."]
ENDED = ["INFO: Waiting for application shutdown.", "INFO: Application shutdown complete."]


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_start_and_end(mode: str, log: Any) -> None:
    lifespan = lifespan_of(well, mode)
    asyncio.run(live(lifespan))
    assert log.lines == STARTED + ENDED
    assert lifespan.state == {"answer": 42}
    assert not lifespan.should_exit


def test_the_scope(log: Any) -> None:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    asyncio.run(live(lifespan_of(app)))
    asgi = {"version": "3.0", "spec_version": "2.0"}
    assert scopes == [{"type": "lifespan", "asgi": asgi, "state": {}}]


def test_the_context_is_that_of_the_completed_start(log: Any) -> None:
    lifespan = lifespan_of(well)
    asyncio.run(live(lifespan))
    assert lifespan.context[VARIABLE] == "by the lifespan"
    assert VARIABLE.get() == "unset"


def test_an_application_that_just_returns_is_content(log: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    asyncio.run(live(lifespan_of(app, "on")))
    assert log.lines == STARTED + ENDED


async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


def test_auto_serves_an_application_that_knows_no_lifespan(log: Any) -> None:
    lifespan = lifespan_of(without_lifespan)
    asyncio.run(live(lifespan))
    assert log.lines == [
        STARTED[0],
        "INFO: ASGI 'lifespan' protocol appears unsupported.",
        STARTED[1],
    ]
    assert not lifespan.should_exit


def test_on_does_not(log: Any) -> None:
    lifespan = lifespan_of(without_lifespan, "on")
    asyncio.run(live(lifespan))
    assert log.lines == [
        STARTED[0],
        "ERROR: Exception in 'lifespan' protocol\n",
        "ERROR: Application startup failed. Exiting.",
    ]
    assert lifespan.should_exit
    assert log.records[1].exc_info[0] is AssertionError


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("and_raise", [False, True])
def test_a_start_that_fails(mode: str, and_raise: bool, log: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        if and_raise:
            raise RuntimeError("no database")

    lifespan = lifespan_of(app, mode)
    asyncio.run(live(lifespan))
    assert log.lines == [
        STARTED[0],
        "ERROR: no database",
        "ERROR: Application startup failed. Exiting.",
    ]
    assert lifespan.should_exit


def test_an_end_that_fails(log: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": ""})

    lifespan = lifespan_of(app)
    asyncio.run(live(lifespan))
    failed = "ERROR: Application shutdown failed. Exiting."
    assert log.lines == [*STARTED, ENDED[0], failed]
    assert lifespan.should_exit


def test_an_end_that_raises_is_no_missing_lifespan(log: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise RuntimeError("late")

    asyncio.run(live(lifespan_of(app)))
    assert log.lines == [
        *STARTED,
        ENDED[0],
        "ERROR: Exception in 'lifespan' protocol\n",
        "ERROR: Application shutdown failed. Exiting.",
    ]


def test_a_lifespan_that_died_meanwhile_is_not_told_of_the_end(log: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        raise RuntimeError("meanwhile")

    async def main() -> None:
        lifespan = lifespan_of(app)
        await lifespan.startup()
        await asyncio.sleep(0)
        await lifespan.shutdown()

    asyncio.run(main())
    assert sorted(log.lines[1:]) == [
        "ERROR: Exception in 'lifespan' protocol\n",
        "INFO: Application startup complete.",
    ]


@pytest.mark.parametrize(
    "messages",
    [
        ["http.response.start"],
        ["lifespan.shutdown.complete"],
        ["lifespan.startup.complete", "lifespan.startup.complete"],
        ["lifespan.startup.complete", "lifespan.shutdown.complete", "lifespan.shutdown.complete"],
    ],
)
def test_messages_have_an_order(messages: list[str], log: Any) -> None:
    raised = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for message in messages:
                await send({"type": message})
        except RuntimeError as error:
            raised.append(str(error))
            raise

    asyncio.run(live(lifespan_of(app)))
    assert raised == [f"Unexpected ASGI message '{messages[-1]}' in the lifespan."]


def test_giving_up_a_start_cancels_the_application(log: Any) -> None:
    cancelled = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        startup = asyncio.ensure_future(lifespan_of(app).startup())
        await asyncio.sleep(0.01)
        startup.cancel()
        await asyncio.wait({startup})
        await asyncio.sleep(0)
        assert cancelled == [True]

    asyncio.run(main())


def test_off_asks_nobody(log: Any) -> None:
    called = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope)

    lifespan = LifespanOff(Config(app, lifespan="off", log_config=None))

    async def main() -> None:
        await lifespan.startup()
        await lifespan.shutdown()

    asyncio.run(main())
    assert (called, log.lines, lifespan.state, lifespan.should_exit) == ([], [], {}, False)
