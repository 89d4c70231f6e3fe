"""The machine of a run: a network that is only ours where that is allowed, and what it all was.

Congestion control matters even on the loopback: with bbr the kernel paces each connection by
timers, and a streamed megabyte costs what the pacing costs. A network namespace has a setting of
its own, so a run by root chooses cubic, Linux's default, or else reno, without touching the
machine's. Elsewhere the report says what there was.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import resource
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from process import CLIENT_CORE, SERVER_CORE
from servers import PEERS, ROOT

_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")

# From linux/sched.h and linux/sockios.h, which Python has no names for in all its versions.
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP_AND_RUNNING = 0x1 | 0x40

_VERSIONS = """
import importlib.metadata as m, json, platform, sys
print(json.dumps({"Python": sys.version} | {n: m.version(n) for n in sys.argv[1:]}))
"""


def prepare() -> None:
    """Put this process and its children on the client's core, into a network of their own."""
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if ctypes.CDLL(None).unshare(_CLONE_NEWNET) != 0:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh", b"lo", _IFF_UP_AND_RUNNING).ljust(40, b"\0")
        fcntl.ioctl(control, _SIOCSIFFLAGS, request)
    # A namespace may choose only from what the machine allows its users.
    for name in ("cubic", "reno"):
        with suppress(OSError):
            _CONGESTION.write_text(name)
            return


def describe(packages: list[str]) -> dict[str, str]:
    """Return what the figures depend on, by name."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    found = {
        "CPU": f"{cpu}, {os.cpu_count()} cores; server on {SERVER_CORE}, client on {CLIENT_CORE}",
        "neighbour": f"a loop on one core takes {_slowed():.2f} of its time while the other works",
        "kernel": platform.release(),
        "congestion control": _CONGESTION.read_text().strip(),
        "client": _client(),
        "ferricorn": _revision(),
    }
    asked = subprocess.run(
        [str(PEERS / "python"), "-c", _VERSIONS, *packages],
        capture_output=True,
        text=True,
        check=True,
    )
    versions: dict[str, str] = json.loads(asked.stdout)
    return found | versions


def _client() -> str:
    run = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return run.stdout.partition(" Copyright")[0]


def _revision() -> str:
    """Return the revision of this project, and whether the tree differs from it."""
    git = ["git", "-C", str(ROOT)]
    revision = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "native", "pysrc"],
        capture_output=True,
        text=True,
        check=False,
    )
    return (revision.stdout.strip() or "?") + (" and changes" if changed.stdout else "")


def _slowed() -> float:
    """By how much a core is slower while the other works: two threads of one core share it."""

    def work() -> float:
        started = time.thread_time()
        sum(range(5_000_000))
        return time.thread_time() - started

    alone = min(work() for _ in range(3))
    neighbour = subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, str(PEERS / "python"), "-c", "while True: pass"]
    )
    try:
        time.sleep(0.1)
        return min(work() for _ in range(3)) / alone
    finally:
        neighbour.kill()
        neighbour.wait()
