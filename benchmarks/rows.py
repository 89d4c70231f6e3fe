"""The rows of the table: which application is asked for what, and by how many connections.

A row is data. Six kinds of measurement exist: `load` drives the server as fast as it answers,
`messages` does so over WebSockets, `idle` counts the memory of kept connections and `quiet` that of
open WebSockets, `lag` reads how late a heartbeat inside the application was under load, `start` is
the time from the command to the first answer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `arguments` go to load.lua, or to websocket.c as size, mode and, maybe, `deflate`. `floor` says
    that the constant answer of floor.c fits the row. `interface` is what the application speaks. A
    round takes `least` seconds or more, where its first moments would show in a shorter one.
    """

    name: str
    title: str
    app: str
    path: str = "/"
    connections: int = 64
    arguments: tuple[str, ...] = ()
    kind: str = "load"
    floor: bool = False
    access_log: bool = False
    interface: str = "asgi"
    least: float = 0

    @property
    def deflates(self) -> bool:
        """Whether clients offer to compress messages."""
        return "deflate" in self.arguments or self.kind == "quiet"


ROWS = (
    Row("hello", "hello, 64 connections", "plain:hello", floor=True),
    Row("browser", "12 browser headers", "plain:hello", arguments=("headers=12",), floor=True),
    Row("pipelined", "16 pipelined", "plain:hello", arguments=("pipelined=16",), floor=True),
    Row("post", "POST 10 KB", "plain:post", arguments=("body=10240",)),
    Row("stream", "1 MB streamed", "plain:stream"),
    Row("sleep", "sleep 10 ms, 512 connections", "plain:sleep", connections=512),
    Row("many", "hello, 512 connections", "plain:hello", connections=512, floor=True),
    Row("one", "hello, 1 connection", "plain:hello", connections=1, floor=True),
    Row("starlette", "Starlette", "with_starlette:app", path="/items/42"),
    Row("fastapi", "FastAPI async def", "with_fastapi:app", path="/items/42?q=item"),
    Row("threaded", "FastAPI def", "with_fastapi:app", path="/threaded/42?q=item"),
    Row("log", "hello, access log on", "plain:hello", access_log=True),
    Row("idle", "5,000 idle connections", "plain:hello", connections=5000, kind="idle", floor=True),
    Row("ws-16", "WebSocket, 16 B", "sockets:echo", kind="messages", arguments=("16", "echo")),
    Row(
        "ws-64k", "WebSocket, 64 KiB", "sockets:echo", kind="messages", arguments=("65536", "echo")
    ),
    Row(
        "ws-deflate",
        "WebSocket, 1 KiB deflated",
        "sockets:echo",
        kind="messages",
        arguments=("1024", "echo", "deflate"),
    ),
    Row(
        "ws-broadcast",
        "WebSocket, 1 to 1,000",
        "sockets:broadcast",
        connections=1000,
        kind="messages",
        arguments=("64", "broadcast"),
    ),
    Row("ws-idle", "2,000 idle WebSockets", "sockets:echo", connections=2000, kind="quiet"),
    Row("start", "start to first answer", "plain:hello", kind="start"),
    Row("start-fastapi", "the same, FastAPI", "with_fastapi:app", kind="start"),
    Row("lag", "loop lag, 512 connections", "plain:heartbeat", connections=512, kind="lag"),
    Row("wsgi-hello", "WSGI hello", "plain_wsgi:hello", floor=True, interface="wsgi"),
    Row(
        "wsgi-post",
        "WSGI POST 10 KB",
        "plain_wsgi:post",
        arguments=("body=10240",),
        interface="wsgi",
    ),
    # Until the first threads have slept nothing is answered, which costs 16 answers of every round.
    Row(
        "wsgi-sleep",
        "WSGI sleep 10 ms, 16 threads",
        "plain_wsgi:sleep",
        interface="wsgi",
        least=8,
    ),
    Row("flask", "Flask", "with_flask:app", path="/items/42?q=item", interface="wsgi"),
    Row("django", "Django, WSGI", "with_django:app", path="/items/42", interface="wsgi"),
)
