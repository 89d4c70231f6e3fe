"""A program that serves on several sockets of its own: IPv4 twice, and a Unix socket.

python -m tests.apps.several PATH [OPTION=VALUE ...]
"""

from __future__ import annotations

import socket
import sys

import ferricorn


def main() -> None:
    """Serve until the end, on sockets that nobody else announces."""
    path, *options = sys.argv[1:]
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(path)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)] + [unix]
    ports = [str(sock.getsockname()[1]) for sock in sockets[:2]]
    settings = dict(option.split("=") for option in options)
    config = ferricorn.Config("tests.apps.scopes:app", **settings)  # type: ignore[arg-type]
    # The line that tests wait for.
    print(f"ports {' '.join(ports)}, running on all. Press CTRL+C", flush=True)
    ferricorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    main()
