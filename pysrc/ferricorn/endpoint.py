"""Where a server listens: its sockets, the name they are announced by, and their traces.

Owns the life of the listening sockets, from the address in the configuration to the removal of a
Unix socket's file. Knows no event loop: a socket is bound and listens before any loop hears of it,
so that whoever serves it, here or in another process, gets it ready.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ferricorn import systemd
from ferricorn.logging import paint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferricorn.config import Config

# A Unix socket is open to every local user, as a TCP port is; a file that was there before keeps
# the mode that its owner gave it.
_UDS_MODE = 0o666

logger = logging.getLogger("uvicorn.error")


_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]*)):([0-9]{1,5})")


class Address(NamedTuple):
    """Where to listen: a descriptor, the path of a Unix socket, or a host with a port."""

    fd: int | None = None
    uds: str | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `host:port`, `[ipv6]:port`, `unix:path` or `fd://number`. Raises ValueError."""
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls(uds=text.removeprefix("unix:"))
        number = text.removeprefix("fd://")
        if number != text and number.isdecimal():
            return cls(fd=int(number))
        found = _HOST_AND_PORT.fullmatch(text)
        if found is None or int(found[3]) > 65535:
            raise ValueError(
                f"{text!r} is not an address: host:port, [ipv6]:port, unix:path or fd://number."
            )
        return cls(host=found[1] or found[2], port=int(found[3]))


class Endpoint:
    """The listening sockets of a server.

    `names` are the addresses as users know them, none if somebody else made and announced the
    sockets.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], backlog: int, name: str | None = None
    ) -> None:
        self.sockets = list(sockets)
        for sock in self.sockets:
            sock.listen(backlog)
        self.backlog = backlog
        self.names = [] if name is None else [name]
        # Paths and inodes of the Unix sockets that are ours to remove.
        self._files: list[tuple[str, int]] = []

    @classmethod
    def open(cls, config: Config) -> Endpoint:
        """Listen where the configuration says.

        Raises OSError with a text for the user.
        """
        single = Address(config.fd, config.uds, config.host, config.port)
        addresses = [Address.parse(text) for text in config.bind] or [single]
        # Who names a descriptor means that one.
        if all(each.fd is None for each in addresses) and (passed := systemd.listen_fds()):
            return cls._adopt(passed, config.backlog, {each.uds for each in addresses})
        endpoint = cls([], config.backlog)
        for address in addresses:
            try:
                endpoint._add(address, config.uds_permissions)
            except OSError:
                endpoint.close()
                raise
            except (ValueError, OverflowError) as error:  # No name, path or number of its kind.
                endpoint.close()
                where = address.uds or address.host if address.fd is None else address.fd
                raise OSError(f"{where!r}: {error}") from None
        return endpoint

    @classmethod
    def _adopt(cls, sockets: list[socket.socket], backlog: int, own: set[str | None]) -> Endpoint:
        """Listen on what the service manager, or the process before this one, has bound.

        The Unix sockets of the latter are `own`: those that the options name.
        """
        endpoint = cls(sockets, backlog)
        for sock in sockets:
            address = sock.getsockname()
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                endpoint.names.append(f"unix socket {address}")
                if address in own:
                    endpoint._files.append((address, os.stat(address).st_ino))
                continue
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            endpoint.names.append(f"http://{host}:{address[1]}")
        return endpoint

    def disown(self) -> None:
        """Leave the files of Unix sockets to the process that has taken over."""
        self._files.clear()

    def _add(self, address: Address, permissions: int | None) -> None:
        if address.fd is not None:
            sockets = [socket.socket(fileno=os.dup(address.fd))]
            name = f"socket {sockets[0].getsockname()}"
        elif address.uds is not None:
            sockets = [_bind_unix(address.uds, permissions)]
            name = f"unix socket {address.uds}"
            self._files.append((address.uds, os.stat(address.uds).st_ino))
        else:
            sockets = _bind_tcp(address.host, address.port)
            host = f"[{address.host}]" if ":" in address.host else address.host
            name = f"http://{host}:{sockets[0].getsockname()[1]}"
        self.sockets += sockets
        self.names.append(name)
        for sock in sockets:
            sock.listen(self.backlog)

    def announce(self) -> None:
        """Say in the log where the server can be reached, a line for each address."""
        text = "Ferricorn running on %s (Press CTRL+C to quit)"
        coloured = text.replace("%s", paint("%s", "bold"))
        for name in self.names:
            logger.info(text, name, extra={"color_message": coloured})

    def close(self) -> None:
        """Close the sockets and remove the files of Unix sockets, unless they are another's now."""
        for sock in self.sockets:
            sock.close()
        files, self._files = self._files, []
        for path, inode in files:
            with suppress(FileNotFoundError):
                if os.stat(path).st_ino == inode:
                    os.unlink(path)


def _bind_unix(path: str, permissions: int | None) -> socket.socket:
    mode = _UDS_MODE
    with suppress(FileNotFoundError):
        existing = os.stat(path).st_mode
        if stat.S_ISSOCK(existing):
            mode = stat.S_IMODE(existing)
            os.unlink(path)
    sock = socket.socket(socket.AF_UNIX)
    _bind(sock, path)
    os.chmod(path, mode if permissions is None else permissions)
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
