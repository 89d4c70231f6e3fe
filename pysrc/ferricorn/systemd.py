"""What a service manager passes to a service, and what it wants to hear of it.

Sockets come as the descriptors from 3 on, by LISTEN_FDS and LISTEN_PID (sd_listen_fds(3)), words go
as datagrams to NOTIFY_SOCKET (sd_notify(3)). Both are a few lines, so no library is needed for
them. Knows nothing of servers: without a manager every function does nothing.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from contextlib import suppress

FIRST_FD = 3
"""Where passed descriptors begin."""


def listen_fds() -> list[socket.socket]:
    """Adopt the stream sockets that this process was started with; none if they are another's.

    The variables are removed, as no child of this process shall take them for its own. Raises
    OSError with a text for the user if a descriptor is none of a stream socket.
    """
    count, pid, _ = (os.environ.pop(f"LISTEN_{name}", "") for name in ("FDS", "PID", "FDNAMES"))
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_adopt(fd) for fd in range(FIRST_FD, FIRST_FD + int(count))]


def _adopt(fd: int) -> socket.socket:
    try:
        is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        is_socket = False
    if is_socket:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        if sock.type == socket.SOCK_STREAM:
            return sock
        sock.detach()
    raise OSError(f"descriptor {fd} of LISTEN_FDS is no stream socket")


def notify(*lines: str) -> None:
    """Tell the service manager, if there is one; it not listening is no fault of the service."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract names begin with a zero.
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(address)
        sock.send("\n".join(lines).encode())


def notify_reloading() -> None:
    """Tell that a reload began; `notify("READY=1")` ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def watchdog_interval() -> float:
    """Return how often, in seconds, `notify("WATCHDOG=1")` is due; infinity if nobody waits."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID") or str(os.getpid())
    if not usec.isdecimal() or pid != str(os.getpid()):
        return float("inf")
    return int(usec) / 1e6 / 2  # Half of the patience, as sd_watchdog_enabled(3) advises.
