"""The server's sequence from start to end, with a native floor that only takes notes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ferricorn.config import Config
from ferricorn.server import Server

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def app(scope: Any, receive: Any, send: Any) -> None:
    VARIABLE.set("by the lifespan")
    scope["state"]["answer"] = 42
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


def server_of(app: Any = app, **options: Any) -> Server:
    return Server(Config(app, **{"port": 0, "log_config": None, **options}))


async def serving(server: Server, then: Callable[[Server], Awaitable[None]]) -> None:
    """Serve, do something once the server is up, and end."""
    task = asyncio.ensure_future(server.serve())
    while not server.started and not task.done():
        await asyncio.sleep(0.001)
    if not task.done():
        await then(server)
    server.should_exit = True
    await task


async def nothing(server: Server) -> None: ...


def test_the_lines_of_a_life(native: Any, log: Any) -> None:
    server = server_of()
    names = []

    async def look(server: Server) -> None:
        names.append(server.servers[0].sockets[0].getsockname())

    asyncio.run(serving(server, look))
    pid = os.getpid()
    assert log.lines == [
        f"INFO: Started server process [{pid}]",
        "INFO: Waiting for application startup.",
        "INFO: Application startup complete.",
        f"INFO: Ferricorn running on http://127.0.0.1:{names[0][1]} (Press CTRL+C to quit)",
        "INFO: Shutting down",
        "INFO: Waiting for application shutdown.",
        "INFO: Application shutdown complete.",
        f"INFO: Finished server process [{pid}]",
    ]
    assert native[0].listening == names
    assert native[0].calls == ["announce_stop", "stop", "abort"]


def test_what_the_native_floor_is_told(native: Any, log: Any) -> None:
    options = {
        "root_path": "/api",
        "date_header": False,
        "headers": [("X-One", "1")],
        "access_log": False,
        "limit_concurrency": 7,
        "timeout_keep_alive": 1.5,
        "timeout_request_head": 2.5,
        "timeout_request_body": 3.5,
        "timeout_write": 4.5,
    }
    asyncio.run(serving(server_of(proxy_headers=False, **options), nothing))
    settings = native[0].settings
    assert callable(settings.pop("error_log"))
    assert settings.pop("drain").is_set()
    assert settings.pop("websocket").max_size == 16 << 20
    assert settings == {
        **options,
        "server_header": b"ferricorn",
        "headers": [(b"x-one", b"1")],
        "access_log": None,
        "access_stream": None,
        "access_format": None,
        "proxy_peers": None,
        "poll": True,
        "board": None,
        "wsgi": None,
    }
    [site] = native[0].sites
    assert (site.path, site.environ) == ("", None)
    assert site.application is site.forwarded is app
    assert (site.state, site.asgi_version) == ({"answer": 42}, "3.0")


def test_the_native_floor_is_told_whose_proxy_headers_count(native: Any) -> None:
    options: dict[str, Any] = {"proxy_protocol": True, "proxy_allow_ips": "10.0.0.1, unix"}
    asyncio.run(serving(server_of(**options), nothing))
    assert native[0].settings["proxy_peers"] == ["10.0.0.1/32", "unix"]


def test_the_default_headers_can_be_looked_at(native: Any) -> None:
    async def look(server: Server) -> None:
        assert server.server_state.default_headers == [(b"server", b"ferricorn"), (b"x", b"1")]

    asyncio.run(serving(server_of(headers=[("X", "1")]), look))
    bare = server_of(server_header=False)
    asyncio.run(serving(bare, nothing))
    assert bare.server_state.default_headers == []


def test_requests_start_from_the_context_of_the_lifespan(native: Any, log: Any) -> None:
    assert context_of_a_turn(server_of(), native)[VARIABLE] == "by the lifespan"


def test_or_from_an_empty_one(native: Any, log: Any) -> None:
    assert VARIABLE not in context_of_a_turn(server_of(reset_contextvars=True), native)


def context_of_a_turn(server: Server, native: Any) -> contextvars.Context:
    async def turn(server: Server) -> None:
        native[0].wake()
        while not native[0].turns:
            await asyncio.sleep(0.001)

    asyncio.run(serving(server, turn))
    context: contextvars.Context = native[0].turns[0]
    return context


def test_the_state_counts(native: Any, log: Any) -> None:
    server = server_of()
    assert (server.server_state.total_requests, len(server.server_state.tasks)) == (0, 0)

    async def look(server: Server) -> None:
        native[0].requests, native[0].connections, native[0].tasks = 3, 2, 1
        state = server.server_state
        assert (state.total_requests, len(state.connections), len(state.tasks)) == (3, 2, 1)
        native[0].connections = native[0].tasks = 0

    asyncio.run(serving(server, look))


def test_a_start_that_fails(native: Any, log: Any) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed"})

    server = server_of(failing)
    asyncio.run(serving(server, nothing))
    assert not server.started
    assert native == []
    assert log.lines[-1] == "ERROR: Application startup failed. Exiting."


def test_a_port_in_use_ends_the_application_first(native: Any, log: Any) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(SystemExit) as caught,
    ):
        asyncio.run(server_of(port=other.getsockname()[1]).serve())
    assert caught.value.code == 3
    assert [line.split(" ")[0] for line in log.lines[-3:]] == ["ERROR:", "INFO:", "INFO:"]
    assert log.lines[-1] == "INFO: Application shutdown complete."
    assert native == []


def test_sockets_of_others_are_served_and_not_announced(native: Any, log: Any) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    name = sock.getsockname()

    async def main() -> None:
        server = server_of()
        task = asyncio.ensure_future(server.serve(sockets=[sock]))
        while not server.started:
            await asyncio.sleep(0.001)
        server.should_exit = True
        await task

    asyncio.run(main())
    assert native[0].listening == [name]
    assert not any("running on" in line for line in log.lines)
    assert sock.fileno() == -1


def test_the_end_waits_for_connections_then_tasks(native: Any, log: Any) -> None:
    async def busy(server: Server) -> None:
        native[0].connections = native[0].tasks = 1
        server.should_exit = True
        await until(log, "Waiting for connections to close. (CTRL+C to force quit)")
        native[0].connections = 0
        await until(log, "Waiting for background tasks to complete. (CTRL+C to force quit)")
        assert native[0].calls == ["announce_stop", "stop"]
        native[0].tasks = 0

    asyncio.run(serving(server_of(), busy))
    assert native[0].calls == ["announce_stop", "stop", "abort"]
    assert log.lines[-2] == "INFO: Application shutdown complete."


async def until(log: Any, text: str) -> None:
    while not any(text in line for line in log.lines):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("grace", [0, 0.01])
def test_the_end_does_not_wait_for_ever(native: Any, log: Any, grace: float) -> None:
    async def busy(server: Server) -> None:
        native[0].tasks = 2

    asyncio.run(serving(server_of(timeout_graceful_shutdown=grace), busy))
    assert "ERROR: Cancel 2 running task(s), timeout graceful shutdown exceeded" in log.lines
    assert native[0].calls == ["announce_stop", "stop", "abort"]
    assert log.lines[-2] == "INFO: Application shutdown complete."


@pytest.mark.parametrize("rows", [[], [(1.0, "waits for the application", None, None)]])
def test_what_is_cut_off_is_listed(native: Any, log: Any, rows: list[Any]) -> None:
    async def busy(server: Server) -> None:
        native[0].tasks, native[0].rows = 1, rows

    asyncio.run(serving(server_of(timeout_graceful_shutdown=0), busy))
    cancel = next(n for n, line in enumerate(log.lines) if "Cancel 1 running task" in line)
    listed = log.lines[cancel + 1].startswith("ERROR: Still in flight:\nseconds  client")
    assert listed == bool(rows)


def test_the_native_floor_is_told_of_websockets(native: Any) -> None:
    asyncio.run(serving(server_of(ws="none"), nothing))
    assert native[0].settings["websocket"] is None
    options: dict[str, Any] = {"ws_max_queue": 3, "ws_ping_interval": None, "ws_close_timeout": 1}
    asyncio.run(serving(server_of(**options), nothing))
    told = native[1].settings["websocket"]
    assert (told.max_queue, told.ping_interval, told.close_timeout) == (3, 0, 1)


def test_websockets_close_one_after_the_other_in_the_drain(native: Any) -> None:
    async def look(server: Any) -> None:
        native[0].sockets = 100
        while native[0].sockets == 100:
            await asyncio.sleep(0)
        assert native[0].sockets > 90
        server.drain_delay = 0

    server = server_of(drain_delay=3600)
    server.limit_max_requests = 0
    asyncio.run(serving(server, look))
    assert native[0].calls.count("close 1") >= 1


# The drain. What it waits for is the clock or a signal, and a test waits for its lines.


def drain_of(native: Any) -> Any:
    return native[0].settings["drain"]


def test_the_drain_begins_with_the_end(native: Any, log: Any) -> None:
    heard = []

    async def hear(server: Server) -> None:
        async def wait() -> None:
            await drain_of(native).wait()
            heard.append(server.should_exit)

        assert not drain_of(native).is_set()
        waiting = [asyncio.ensure_future(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        native[0].tasks = 1
        server.should_exit = True
        await asyncio.gather(*waiting)
        assert drain_of(native).is_set()
        await drain_of(native).wait()
        native[0].tasks = 0

    asyncio.run(serving(server_of(), hear))
    assert heard == [True] * 3


def test_an_application_cannot_set_the_event(native: Any) -> None:
    asyncio.run(serving(server_of(), nothing))
    event = drain_of(native)
    assert {name for name in dir(event) if not name.startswith("_")} == {"is_set", "wait"}
    with pytest.raises(AttributeError):
        event.is_set = lambda: False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until a test moves it."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("ferricorn.server.time", clock)
    return clock


def test_the_delay_comes_before_the_end(native: Any, log: Any, clock: SimpleNamespace) -> None:
    async def look(server: Server) -> None:
        server.should_exit = True
        await until(log, "Draining for 30 seconds.")
        assert drain_of(native).is_set()
        clock.now = 29.9
        await asyncio.sleep(0.2)
        assert native[0].calls == ["announce_stop"]
        assert "INFO: Shutting down" not in log.lines
        clock.now = 30

    asyncio.run(serving(server_of(drain_delay=30), look))
    assert native[0].calls == ["announce_stop", "stop", "abort"]
    assert log.lines[-2] == "INFO: Application shutdown complete."


def test_the_callback_is_called_during_the_delay(native: Any, log: Any) -> None:
    calls = []

    async def notify() -> None:
        calls.append(drain_of(native).is_set())
        if calls[-1]:
            server.drain_delay = 0

    server = server_of(callback_notify=notify, timeout_notify=0, drain_delay=3600)
    asyncio.run(serving(server, nothing))
    assert calls[-1]


def test_the_time_for_the_graceful_end_begins_after_the_delay(
    native: Any, log: Any, clock: SimpleNamespace
) -> None:
    async def busy(server: Server) -> None:
        native[0].tasks = 1
        server.should_exit = True
        await until(log, "Draining for 30 seconds.")
        clock.now = 30
        await until(log, "Waiting for background tasks")
        native[0].tasks = 0

    asyncio.run(serving(server_of(drain_delay=30, timeout_graceful_shutdown=10), busy))
    assert not any("Cancel" in line for line in log.lines)


def test_the_limit_of_requests_has_a_delay_too(native: Any, log: Any) -> None:
    async def main() -> None:
        server = server_of(limit_max_requests=2, drain_delay=3600)
        task = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.001)
        native[0].requests = 2
        await until(log, "Draining for 3600 seconds.")
        server.drain_delay = 0
        await task

    asyncio.run(main())
    assert len([line for line in log.lines if "Maximum request limit" in line]) == 1


def test_the_maximum_of_requests(native: Any, log: Any) -> None:
    async def main() -> None:
        server = server_of(limit_max_requests=2)
        task = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.001)
        native[0].requests = 2
        await task

    asyncio.run(main())
    assert "INFO: Maximum request limit of 2 exceeded. Terminating process." in log.lines


def test_the_maximum_of_requests_has_a_jitter() -> None:
    limits = {
        server_of(limit_max_requests=100, limit_max_requests_jitter=3).limit_max_requests
        for _ in range(1000)
    }
    assert limits == {100, 101, 102, 103}


def test_the_callback_is_called(native: Any, log: Any) -> None:
    calls = []

    async def notify() -> None:
        calls.append(server.started)
        server.should_exit = True

    server = server_of(callback_notify=notify, timeout_notify=0)
    asyncio.run(server.serve())
    assert calls == [True]


def test_a_cancelled_server_gives_everything_back(native: Any, log: Any, tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def main() -> None:
        server = server_of(uds=str(path))
        task = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.001)
        assert path.exists()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert native[0].calls == ["abort"]
    assert not path.exists()


# Signals. The process is this one: what it gets must be taken before it is sent.


@pytest.fixture
def received() -> Any:
    """Take both signals in the place of whoever started the server."""
    signals: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: signals.append(number)) for number in numbers]
    yield signals
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_is_raised_again(
    native: Any, log: Any, received: list[int], number: int
) -> None:
    async def kill(server: Server) -> None:
        signal.raise_signal(number)
        assert server.should_exit
        assert received == []

    asyncio.run(serving(server_of(), kill))
    assert received == [number]
    assert log.lines[-2] == "INFO: Application shutdown complete."


def test_signals_are_raised_again_in_reverse(native: Any, log: Any, received: list[int]) -> None:
    async def kill(server: Server) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    asyncio.run(serving(server_of(), kill))
    assert received == [signal.SIGTERM, signal.SIGINT]


def test_a_second_interrupt_forces_the_end(native: Any, log: Any, received: list[int]) -> None:
    async def kill(server: Server) -> None:
        native[0].connections = 1
        signal.raise_signal(signal.SIGINT)
        await until(log, "Waiting for connections")
        signal.raise_signal(signal.SIGINT)

    asyncio.run(serving(server_of(), kill))
    assert not any("application shutdown" in line for line in log.lines)
    assert native[0].calls == ["announce_stop", "stop", "abort"]


def test_a_second_sigterm_does_not(native: Any, log: Any, received: list[int]) -> None:
    async def kill(server: Server) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert not server.force_exit

    asyncio.run(serving(server_of(), kill))
    assert log.lines[-2] == "INFO: Application shutdown complete."


INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize("early", [True, False], ids=["before the delay", "in the delay"])
@pytest.mark.parametrize(
    ("numbers", "forced"),
    [((TERM, TERM), False), ((TERM, INT), False), ((INT, TERM), False), ((INT, INT), True)],
)
def test_a_second_signal_ends_the_delay(
    native: Any, log: Any, received: list[int], numbers: tuple[int, int], forced: bool, early: bool
) -> None:
    async def kill(server: Server) -> None:
        signal.raise_signal(numbers[0])
        if not early:
            await until(log, "Draining for 3600 seconds.")
        signal.raise_signal(numbers[1])
        assert server.force_exit == forced

    asyncio.run(serving(server_of(drain_delay=3600), kill))
    assert native[0].calls == ["announce_stop", "stop", "abort"]
    assert any("Application shutdown complete" in line for line in log.lines) != forced
    assert received == [*reversed(numbers)]


def test_after_the_delay_an_interrupt_forces_the_end(
    native: Any, log: Any, received: list[int]
) -> None:
    async def kill(server: Server) -> None:
        native[0].connections = 1
        native[0].rows = [(1.0, "request head incomplete", None, ("127.0.0.1", 5))]
        signal.raise_signal(TERM)
        signal.raise_signal(TERM)
        await until(log, "Waiting for connections")
        assert not server.force_exit
        signal.raise_signal(INT)
        assert server.force_exit

    asyncio.run(serving(server_of(drain_delay=3600), kill))
    assert any("127.0.0.1:5" in line for line in log.lines)


async def hanging_start(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def hanging_end(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "lifespan.startup.complete"})
    await asyncio.Event().wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_start_that_hangs_ends_with_the_second_signal(
    native: Any, log: Any, received: list[int], number: int
) -> None:
    async def main() -> None:
        server = server_of(hanging_start)
        task = asyncio.ensure_future(server.serve())
        await until(log, "Waiting for application startup.")
        signal.raise_signal(number)
        await until(log, "Waiting for application startup to end. (CTRL+C to force quit)")
        signal.raise_signal(number)
        await task
        assert not server.started

    asyncio.run(main())
    assert received == [number, number]


def test_an_end_that_hangs_ends_with_the_second_interrupt(
    native: Any, log: Any, received: list[int]
) -> None:
    async def main() -> None:
        server = server_of(hanging_end)
        task = asyncio.ensure_future(server.serve())
        await until(log, "running on")
        signal.raise_signal(signal.SIGINT)
        await until(log, "Waiting for application shutdown.")
        signal.raise_signal(signal.SIGINT)
        await task

    asyncio.run(main())
    assert "Finished server process" in log.lines[-1]


def test_in_another_thread_signals_are_left_alone(native: Any, log: Any) -> None:
    handlers = []

    async def look(server: Server) -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: asyncio.run(serving(server_of(), look)))
    thread.start()
    thread.join()
    assert handlers == [before]


def test_run_makes_the_loop_that_was_asked_for(native: Any, log: Any) -> None:
    loops = []

    async def notify() -> None:
        loops.append(type(asyncio.get_running_loop()))
        server.should_exit = True

    server = server_of(loop="asyncio:SelectorEventLoop", callback_notify=notify, timeout_notify=0)
    server.run()
    assert loops == [asyncio.SelectorEventLoop]


def test_colours_of_the_process_line(native: Any, log: Any) -> None:
    asyncio.run(serving(server_of(), nothing))
    record: logging.LogRecord = log.records[0]
    assert record.__dict__["color_message"] == "Started server process [\x1b[36m%d\x1b[0m]"
