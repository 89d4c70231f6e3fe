"""The servers of the comparison, each as its documentation says to run it for speed.

One process that serves, uvloop where it can be had, the native parser where there is a choice, no
access log unless the row is about it, `Date` and `Server` headers as by default, and no proxy
headers to look at. This file knows command lines only; process.py runs them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rows import Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / ".venv-bench" / "bin"

FLOOR = HERE / "results" / "floor"
MESSENGER = HERE / "results" / "websocket"

# Longer than any round: an idle connection is kept because it is allowed to be, not by luck.
KEPT = 600


@dataclass(frozen=True)
class Server:
    """How to start one server: `command(row, port)`, and what else its environment needs."""

    name: str
    command: Callable[[Row, int], list[str]]
    python_path: tuple[str, ...] = ()
    package: str = ""


def uvicorn(row: Row, port: int) -> list[str]:
    """uvicorn with httptools and uvloop."""
    log = [] if row.access_log else ["--no-access-log"]
    keep = ["--timeout-keep-alive", str(KEPT)] if row.kind == "idle" else []
    return [
        *(str(PEERS / "python"), "-m", "uvicorn", row.app, "--port", str(port)),
        *("--http", "httptools", "--loop", "uvloop", "--no-proxy-headers"),
        *log,
        *keep,
    ]


def granian(row: Row, port: int) -> list[str]:
    """granian's ASGI interface, with grouped flushes where requests come pipelined."""
    pipelined = any(argument.startswith("pipelined") for argument in row.arguments)
    flush = ["--http1-pipeline-flush"] if pipelined else []
    log = ["--access-log"] if row.access_log else ["--no-access-log"]
    # What it takes at once is its backlog, which is 1,024 by default.
    many = ["--backlog", "8192"] if row.connections > 1000 else []
    return [
        *(str(PEERS / "granian"), "--interface", "asgi", "--loop", "uvloop", "--http", "1"),
        *("--port", str(port), *flush, *log, *many, row.app),
    ]


def hypercorn(row: Row, port: int) -> list[str]:
    """hypercorn with uvloop."""
    log = ["--access-logfile", "-"] if row.access_log else []
    keep = ["--keep-alive", str(KEPT)] if row.kind == "idle" else []
    return [
        *(str(PEERS / "hypercorn"), "-k", "uvloop", "-w", "1", "-b", f"127.0.0.1:{port}"),
        *(*log, *keep, row.app),
    ]


def gunicorn(row: Row, port: int) -> list[str]:
    """gunicorn's own ASGI worker with its C parser and uvloop."""
    log = ["--access-logfile", "-"] if row.access_log else []
    keep = str(KEPT) if row.kind == "idle" else "60"
    return [
        *(str(PEERS / "gunicorn"), "-k", "asgi", "-w", "1", "-b", f"127.0.0.1:{port}"),
        *("--asgi-loop", "uvloop", "--http-parser", "fast", "--worker-connections", "8192"),
        *("--keep-alive", keep, "--no-control-socket", *log, row.app),
    ]


def peregrine(row: Row, port: int) -> list[str]:
    """peregrine with one worker."""
    log = ["--access-log"] if row.access_log else []
    many = ["--max-connections", "8192"] if row.connections > 1000 else []
    keep = ["--keep-alive", str(KEPT * 1000)] if row.kind == "idle" else []
    deflate = ["--ws-compress"] if row.deflates else []
    return [
        *(str(PEERS / "peregrine"), "--venv", str(PEERS.parent), "--port", str(port)),
        *(*log, *many, *keep, *deflate, row.app),
    ]


def socketify(row: Row, port: int) -> list[str]:
    """socketify's ASGI interface, which has one loop for everything."""
    deflate = ["--ws-per-message-deflate", "true"] if row.deflates else []
    return [
        *(str(PEERS / "python"), "-m", "socketify", row.app, "--interface", "asgi"),
        *("--port", str(port), "--workers", "1", *deflate),
    ]


def floor(row: Row, port: int) -> list[str]:
    """A constant answer from an epoll loop: what the kernel takes, whoever serves."""
    return [str(FLOOR), str(port)]


def ferricorn(name: str, package_path: str) -> Server:
    """This project as it lies in `package_path`, run by the interpreter that runs the peers.

    So the libraries of a row are the same. FERRICORN_BENCH_PYTHON names another interpreter.
    """
    python = os.environ.get("FERRICORN_BENCH_PYTHON") or str(PEERS / "python")

    def command(row: Row, port: int) -> list[str]:
        log = [] if row.access_log else ["--no-access-log"]
        keep = ["--timeout-keep-alive", str(KEPT)] if row.kind == "idle" else []
        return [
            *(python, "-m", "ferricorn", row.app, "--port", str(port)),
            *("--loop", "uvloop", "--no-proxy-headers", *log, *keep),
        ]

    return Server(name, command, (package_path,))


def catalogue() -> dict[str, Server]:
    """Every server by the name that --servers takes."""
    # FERRICORN_BENCH_PATH names another directory with a built package `ferricorn`.
    package_path = os.environ.get("FERRICORN_BENCH_PATH") or str(ROOT / "pysrc")
    servers = [
        ferricorn("ferricorn", package_path),
        Server("uvicorn", uvicorn, package="uvicorn"),
        Server("peregrine", peregrine, package="peregrine-server"),
        Server("granian", granian, package="granian"),
        Server("gunicorn", gunicorn, package="gunicorn"),
        Server("hypercorn", hypercorn, package="hypercorn"),
        Server("socketify", socketify, package="socketify"),
        Server("floor", floor),
    ]
    return {server.name: server for server in servers}
