"""Where a server listens: its sockets, the name they are announced by, and their traces.

Owns the life of the listening sockets, from the address in the configuration to the removal of a
Unix socket's file. Knows no event loop: a socket is bound and listens before any loop hears of it,
so that whoever serves it, here or in another process, gets it ready.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ferricorn.logging import paint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferricorn.config import Config

# A Unix socket is open to every local user, as a TCP port is; a file that was there before keeps
# the mode that its owner gave it.
_UDS_MODE = 0o666

logger = logging.getLogger("uvicorn.error")


class Endpoint:
    """The listening sockets of a server.

    `name` is the address as users know it, `None` if somebody else made and announced the sockets.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], backlog: int, name: str | None = None
    ) -> None:
        for sock in sockets:
            sock.listen(backlog)
        self.sockets = list(sockets)
        self.backlog = backlog
        self.name = name
        # Path and inode of the Unix socket that is ours to remove.
        self._file: tuple[str, int] | None = None

    @classmethod
    def open(cls, config: Config) -> Endpoint:
        """Listen where the configuration says: descriptor, Unix socket, or host and port.

        Raises OSError with a text for the user.
        """
        if config.fd is not None:
            sock = socket.socket(fileno=os.dup(config.fd))
            return cls([sock], config.backlog, f"socket {sock.getsockname()}")
        if config.uds is not None:
            sock = _bind_unix(config.uds)
            endpoint = cls([sock], config.backlog, f"unix socket {config.uds}")
            endpoint._file = (config.uds, os.stat(config.uds).st_ino)
            return endpoint
        sockets = _bind_tcp(config.host, config.port)
        host = f"[{config.host}]" if ":" in config.host else config.host
        port = sockets[0].getsockname()[1]
        return cls(sockets, config.backlog, f"http://{host}:{port}")

    def announce(self) -> None:
        """Say in the log where the server can be reached."""
        if self.name is not None:
            text = "Ferricorn running on %s (Press CTRL+C to quit)"
            coloured = text.replace("%s", paint("%s", "bold"))
            logger.info(text, self.name, extra={"color_message": coloured})

    def close(self) -> None:
        """Close the sockets and remove the file of a Unix socket, unless it is another's by now."""
        for sock in self.sockets:
            sock.close()
        if self._file:
            path, inode = self._file
            self._file = None
            with suppress(FileNotFoundError):
                if os.stat(path).st_ino == inode:
                    os.unlink(path)


def _bind_unix(path: str) -> socket.socket:
    mode = _UDS_MODE
    with suppress(FileNotFoundError):
        existing = os.stat(path).st_mode
        if stat.S_ISSOCK(existing):
            mode = stat.S_IMODE(existing)
            os.unlink(path)
    sock = socket.socket(socket.AF_UNIX)
    _bind(sock, path)
    os.chmod(path, mode)
    return sock


def _bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Bind a socket for each address of the host; an empty host is every address there is."""
    sockets: list[socket.socket] = []
    refusal = OSError(f"could not bind on any address of {host!r}")
    for family, address in _addresses(host, port):
        try:
            sock = _tcp_socket(family)
            # Port 0 means one free port, not another one for each address.
            _bind(
                sock, (address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:])
            )
        except OSError as error:
            # A family may be switched off on this machine, while names still have its addresses.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                for bound in sockets:
                    bound.close()
                raise
            refusal = error
        else:
            sockets.append(sock)
    if not sockets:
        raise refusal
    return sockets


def _addresses(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _tcp_socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # Elsewhere it would let two servers share a port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        # IPv4's addresses get sockets of their own, so this one must not take them too.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def _bind(sock: socket.socket, address: str | tuple[Any, ...]) -> None:
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise OSError(
            error.errno, f"error while attempting to bind on address {address!r}: {reason}"
        ) from None
