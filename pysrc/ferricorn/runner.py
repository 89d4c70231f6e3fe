"""`ferricorn.run`: a server from options to exit status, in this process or in several workers.

What the command line does after it has read its options, and what a script calls. Ends the process
with a status if the server could not start, as a program does; who wants to go on afterwards uses
`Server`. A process that only watches over workers is to stay small, so what serves is imported
where it serves.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ferricorn import systemd
from ferricorn.application import STARTUP_FAILURE
from ferricorn.config import Config
from ferricorn.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from ferricorn.server import Server
    from ferricorn.supervisors.watched import Word
    from ferricorn.typing import ASGIApplication, Options

logger = logging.getLogger("uvicorn.error")


def run(
    app: ASGIApplication | Callable[..., Any] | str,
    *,
    app_dir: str | None = None,
    **options: Unpack[Options],
) -> None:
    """Serve the application until SIGINT or SIGTERM.

    The options are those of `Config`, with its defaults; `app_dir` is put in front of the paths
    that the application is imported from. Exits with status 3 if the server could not start.
    """
    if app_dir is not None:
        sys.path.insert(0, app_dir)
    config = Config(app, **options)
    if config.use_subprocess:
        sys.exit(_supervise(config))
    server = _make_server(config)
    # Imported with the server.
    from ferricorn.drivers.threads import end_past_threads

    with suppress(KeyboardInterrupt):  # Ctrl+C is how one stops a server, and no error.
        server.run()
    status = 0 if server.started else STARTUP_FAILURE
    end_past_threads(status)
    if status:
        sys.exit(status)


def _make_server(config: Config) -> Server:
    """Return the server of this process: one that talks to the service manager, if there is one."""
    if "NOTIFY_SOCKET" not in os.environ:
        from ferricorn.server import Server

        return Server(config)
    from ferricorn.supervisors.watched import WatchedServer, Word

    lines = {Word.READY: "READY=1", Word.ALIVE: "WATCHDOG=1", Word.ENDING: "STOPPING=1"}

    def tell(word: Word) -> None:
        systemd.notify(lines[word])

    return WatchedServer(config, tell, systemd.watchdog_interval(), replaceable=False)


def _supervise(config: Config) -> int:
    """Be the parent of workers until the end, and return the exit status."""
    if not (isinstance(config.app, str) or config.preload):
        logger.warning(
            "You must pass the application as an import string to enable 'reload' or 'workers'."
        )
        return STARTUP_FAILURE
    if config.preload:
        config.load()
    try:
        endpoint = Endpoint.open(config)
    except OSError as error:
        logger.error(error)
        return STARTUP_FAILURE
    endpoint.announce()
    try:
        from ferricorn import supervisors

        kind = supervisors.ChangeReload if config.should_reload else supervisors.Multiprocess
        parent = kind(config, sockets=endpoint.sockets)
        parent.run()
        if parent.handed_over:
            endpoint.disown()
        return parent.status
    finally:
        endpoint.close()


def _signature() -> inspect.Signature:
    """Return the signature of `run` with the options spelled out, for `help()` and editors."""
    app, *options = inspect.signature(Config).parameters.values()
    app_dir = inspect.signature(run).parameters["app_dir"]
    keywords = [p.replace(kind=p.KEYWORD_ONLY) for p in (*options, app_dir)]
    return inspect.Signature([app, *keywords], return_annotation="None")


run.__signature__ = _signature()  # type: ignore[attr-defined]
