"""The servers of the comparison, each as its documentation says to run it for speed.

One process that serves, uvloop where it can be had, the native parser where there is a choice, no
access log unless the row is about it, `Date` and `Server` headers as by default, and no proxy
headers to look at. WSGI applications run in 16 threads, or in one where a server has no more. This
file knows command lines only; process.py runs them.
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

# What a server of WSGI applications has, if it has threads.
THREADS = 16

BOTH = ("asgi", "wsgi")


@dataclass(frozen=True)
class Server:
    """How to start one server: `command(row, port)`, and what else its environment needs.

    `interfaces` are those of the rows that it is part of.
    """

    name: str
    command: Callable[[Row, int], list[str]]
    python_path: tuple[str, ...] = ()
    package: str = ""
    interfaces: tuple[str, ...] = ("asgi",)


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
    """granian with grouped flushes where requests come pipelined."""
    pipelined = any(argument.startswith("pipelined") for argument in row.arguments)
    flush = ["--http1-pipeline-flush"] if pipelined else []
    log = ["--access-log"] if row.access_log else ["--no-access-log"]
    # What it takes at once is its backlog, which is 1,024 by default.
    many = ["--backlog", "8192"] if row.connections > 1000 else []
    threads = ["--blocking-threads", str(THREADS)] if row.interface == "wsgi" else []
    return [
        *(str(PEERS / "granian"), "--interface", row.interface, "--loop", "uvloop", "--http", "1"),
        *("--port", str(port), *flush, *log, *many, *threads, row.app),
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
    """gunicorn with its C parser: its own ASGI worker on uvloop, or its worker with threads."""
    log = ["--access-logfile", "-"] if row.access_log else []
    keep = str(KEPT) if row.kind == "idle" else "60"
    asgi = ("-k", "asgi", "--asgi-loop", "uvloop")
    worker = asgi if row.interface == "asgi" else ("-k", "gthread", "--threads", str(THREADS))
    return [
        *(str(PEERS / "gunicorn"), *worker, "-w", "1", "-b", f"127.0.0.1:{port}"),
        *("--http-parser", "fast", "--worker-connections", "8192"),
        *("--keep-alive", keep, "--no-control-socket", *log, row.app),
    ]


def peregrine(row: Row, port: int) -> list[str]:
    """peregrine with one worker."""
    log = ["--access-log"] if row.access_log else []
    many = ["--max-connections", "8192"] if row.connections > 1000 else []
    keep = ["--keep-alive", str(KEPT * 1000)] if row.kind == "idle" else []
    deflate = ["--ws-compress"] if row.deflates else []
    wsgi = ["--protocol", "wsgi", "--wsgi-threads", str(THREADS)]
    return [
        *(str(PEERS / "peregrine"), "--venv", str(PEERS.parent), "--port", str(port)),
        *(*log, *many, *keep, *deflate, *(wsgi if row.interface == "wsgi" else ()), row.app),
    ]


def socketify(row: Row, port: int) -> list[str]:
    """socketify's ASGI interface, which has one loop for everything."""
    deflate = ["--ws-per-message-deflate", "true"] if row.deflates else []
    return [
        *(str(PEERS / "python"), "-m", "socketify", row.app, "--interface", "asgi"),
        *("--port", str(port), "--workers", "1", *deflate),
    ]


def waitress(row: Row, port: int) -> list[str]:
    """waitress with more threads than by default."""
    return [
        *(str(PEERS / "waitress-serve"), f"--listen=127.0.0.1:{port}", f"--threads={THREADS}"),
        row.app,
    ]


def uwsgi(row: Row, port: int) -> list[str]:
    """uWSGI behind its own HTTP router.

    The router is what keeps connections open: a worker that speaks HTTP itself closes each, or
    gives a thread to each while it lasts, and more clients than threads get no answer.
    """
    between = f"@ferricorn-benchmark-{port}"
    return [
        *(str(PEERS / "uwsgi"), "--master", "--die-on-term", "--disable-logging"),
        *("--http", f"127.0.0.1:{port}", "--http-keepalive", "--http-to", between),
        *("--socket", between, "--processes", "1", "--threads", str(THREADS)),
        *("--virtualenv", str(PEERS.parent), "--module", row.app),
    ]


def bjoern(row: Row, port: int) -> list[str]:
    """bjoern, which has one thread and no command."""
    return _program(row, f"import bjoern; bjoern.run(app, '127.0.0.1', {port})")


def fastpysgi(row: Row, port: int) -> list[str]:
    """fastpysgi, which has one thread; its command keeps a module from being imported by name."""
    return _program(row, f"import fastpysgi; fastpysgi.run(app, '127.0.0.1', {port})")


def _program(row: Row, statements: str) -> list[str]:
    module, _, name = row.app.partition(":")
    return [str(PEERS / "python"), "-c", f"from {module} import {name} as app; {statements}"]


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
        wsgi = ("--interface", "wsgi", "--threads", str(THREADS))
        return [
            *(python, "-m", "ferricorn", row.app, "--port", str(port)),
            *("--loop", "uvloop", "--no-proxy-headers", *log, *keep),
            *(wsgi if row.interface == "wsgi" else ()),
        ]

    return Server(name, command, (package_path,), interfaces=BOTH)


def catalogue() -> dict[str, Server]:
    """Every server by the name that --servers takes."""
    # FERRICORN_BENCH_PATH names another directory with a built package `ferricorn`.
    package_path = os.environ.get("FERRICORN_BENCH_PATH") or str(ROOT / "pysrc")
    servers = [
        ferricorn("ferricorn", package_path),
        Server("uvicorn", uvicorn, package="uvicorn"),
        Server("peregrine", peregrine, package="peregrine-server", interfaces=BOTH),
        Server("granian", granian, package="granian", interfaces=BOTH),
        Server("gunicorn", gunicorn, package="gunicorn", interfaces=BOTH),
        Server("hypercorn", hypercorn, package="hypercorn"),
        Server("socketify", socketify, package="socketify"),
        Server("bjoern", bjoern, package="bjoern", interfaces=("wsgi",)),
        Server("fastpysgi", fastpysgi, package="fastpysgi", interfaces=("wsgi",)),
        Server("uwsgi", uwsgi, package="uWSGI", interfaces=("wsgi",)),
        Server("waitress", waitress, package="waitress", interfaces=("wsgi",)),
        Server("floor", floor, interfaces=BOTH),
    ]
    return {server.name: server for server in servers}
