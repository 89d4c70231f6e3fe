"""`ferricorn.run`: a server in this process, from options to exit status.

What the command line does after it has read its options, and what a script calls. Ends the process
with a status if the server could not start, as a program does; who wants to go on afterwards uses
`Server`.
"""

from __future__ import annotations

import inspect
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ferricorn.config import STARTUP_FAILURE, Config
from ferricorn.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from ferricorn.typing import ASGIApplication, Options


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
    server = Server(Config(app, **options))
    with suppress(KeyboardInterrupt):  # Ctrl+C is how one stops a server, and no error.
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _signature() -> inspect.Signature:
    """Return the signature of `run` with the options spelled out, for `help()` and editors."""
    app, *options = inspect.signature(Config).parameters.values()
    app_dir = inspect.signature(run).parameters["app_dir"]
    keywords = [p.replace(kind=p.KEYWORD_ONLY) for p in (*options, app_dir)]
    return inspect.Signature([app, *keywords], return_annotation="None")


run.__signature__ = _signature()  # type: ignore[attr-defined]
