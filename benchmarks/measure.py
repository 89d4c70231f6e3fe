"""Measures one row of one server once, with the server fresh and the client on its own core.

A measurement fails, rather than counts, when a single answer was not 2xx or a socket broke: a
server that refuses is fast.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from process import CLIENT_CORE, MeasurementError, Process, ask, read_answer
from servers import HERE, MESSENGER

if TYPE_CHECKING:
    from rows import Row
    from servers import Server


@dataclass
class Sample:
    """What one round says. Fields that a row does not have are None.

    `user`, `kernel`, `total`, `p50`, `p99` and `lag` are microseconds, `bytes` is the size of an
    answer, `busy` and `others` are the share of a core that the server and everything that has no
    part in the measurement took, `memory` is bytes for each connection, `start` is seconds.
    """

    user: float | None = None
    kernel: float | None = None
    total: float | None = None
    rate: float | None = None
    p50: float | None = None
    p99: float | None = None
    bytes: float | None = None
    busy: float | None = None
    others: float | None = None
    memory: float | None = None
    lag: float | None = None
    start: float | None = None

    def as_dict(self) -> dict[str, float]:
        """Only what was measured."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def measure(server: Server, row: Row, seconds: float, warm_up: float) -> Sample:
    """Start `server`, measure `row` and end it."""
    # A real file, because a log that goes nowhere costs less than it does in use.
    with tempfile.NamedTemporaryFile() as log, Process(server, row, log) as process:
        if row.kind == "start":
            return Sample(start=process.answered - process.started)
        if row.kind == "idle":
            return _idle(process, row)
        if row.kind == "quiet":
            return _quiet(process, row)
        if row.kind == "lag":
            ask(process.port, "/start")
        run_client(process, row, warm_up)
        if row.kind == "lag":
            ask(process.port, "/start")
        sample = _load(process, row, max(seconds, row.least))
        if row.kind == "lag":
            sample.lag = float(ask(process.port, "/lag"))
        return sample


def _load(process: Process, row: Row, seconds: float) -> Sample:
    before, started, machine = process.time(), time.monotonic(), _machine_time()
    result = run_client(process, row, seconds)
    after, elapsed, others = process.time(), time.monotonic() - started, _machine_time() - machine
    requests = result["requests"]
    total = (after.total - before.total) * 1e6 / requests
    ticks = (after.user - before.user) + (after.kernel - before.kernel)
    share = (after.user - before.user) / ticks if ticks else 0.0
    # wrk 4.1 takes the time of pipelined answers from the wrong start.
    pipelined = any(argument.startswith("pipelined") for argument in row.arguments)
    return Sample(
        user=total * share,
        kernel=total * (1 - share),
        total=total,
        rate=requests * 1e6 / result["microseconds"],
        p50=None if pipelined else result["p50"],
        p99=None if pipelined else result["p99"],
        bytes=result["bytes"] / requests,
        busy=(after.total - before.total) / elapsed,
        others=max(0.0, others - (after.total - before.total)) / elapsed,
    )


def _machine_time() -> float:
    """CPU seconds that all cores were busy, but for this process and the clients it waited for."""
    words = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, _stolen = map(int, words)
    busy = (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")
    own = os.times()
    return busy - own.user - own.system - own.children_user - own.children_system


def run_client(process: Process, row: Row, seconds: float) -> dict[str, int]:
    """Run the client and return its RESULT line; a single answer that is amiss is an error."""
    command = (_messenger if row.kind == "messages" else _wrk)(process, row, seconds)
    run = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, *command], capture_output=True, text=True, check=False
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise MeasurementError(f"{command[0]}: {(run.stderr or run.stdout).strip()}")
    pairs = (word.split("=") for word in lines[0].split()[1:])
    result = {name: int(value) for name, value in pairs}
    faults = ("status", "connect", "read", "write", "timeout")
    wrong = {name: result[name] for name in faults if result[name]}
    if wrong or not result["requests"]:
        raise MeasurementError(f"of {result['requests']} requests: {wrong or 'none answered'}")
    return result


def _messenger(process: Process, row: Row, seconds: float) -> list[str]:
    size, *mode = row.arguments
    numbers = (process.port, row.path, row.connections, size, max(1, round(seconds)))
    return [str(MESSENGER), *map(str, numbers), *mode]


def _wrk(process: Process, row: Row, seconds: float) -> list[str]:
    url = f"http://127.0.0.1:{process.port}{row.path}"
    command = ["wrk", "-t1", f"-c{row.connections}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", "10s", "-s", str(HERE / "load.lua")]
    return [*command, url, "--", *row.arguments]


def _idle(process: Process, row: Row) -> Sample:
    """Resident memory that each of many connections adds, once it had an answer and is kept."""
    # What the first requests load and allocate is not what a connection costs.
    for _ in range(200):
        ask(process.port, row.path)
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n"
    before = process.resident()
    clients: list[socket.socket] = []
    try:
        for _ in range(row.connections):
            client = socket.create_connection(("127.0.0.1", process.port), timeout=10)
            clients.append(client)
            client.sendall(request)
            read_answer(client)
        time.sleep(0.5)
        after = process.resident()
        for client in clients:
            client.setblocking(False)
            try:
                client.recv(1)
            except BlockingIOError:
                continue
            raise MeasurementError("closed connections that were to be kept")
    except OSError as error:
        raise MeasurementError(f"after {len(clients)} connections: {error}") from error
    finally:
        for client in clients:
            client.close()
    return Sample(memory=(after - before) / row.connections)


_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
# A text of two letters, masked with zeros, and its echo.
_SENT, _ECHOED = b"\x81\x82\0\0\0\0hi", b"\x81\x02hi"


def _quiet(process: Process, row: Row) -> Sample:
    """Resident memory that each of many WebSockets adds, once it had a message and is kept."""
    clients: list[socket.socket] = []
    try:
        # What the first ones load and allocate is not what a connection costs.
        for _ in range(200):
            clients.append(_open_websocket(process.port))
        before = process.resident()
        for _ in range(row.connections):
            clients.append(_open_websocket(process.port))
        time.sleep(0.5)
        after = process.resident()
    except OSError as error:
        raise MeasurementError(f"after {len(clients)} connections: {error}") from error
    finally:
        for client in clients:
            client.close()
    return Sample(memory=(after - before) / row.connections)


def _open_websocket(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(_HANDSHAKE)
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(1)
        if not received:
            raise ConnectionError("closed in the handshake")
    client.sendall(_SENT)
    echoed = client.recv(100)
    if not echoed or (echoed[0] & 0x8F) != _ECHOED[0]:
        raise ConnectionError(f"{echoed!r} is no echo")
    return client
