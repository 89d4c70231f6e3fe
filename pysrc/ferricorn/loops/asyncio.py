"""The event loop of the standard library."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def asyncio_loop_factory(use_subprocess: bool = False) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the loop's class.

    On Windows only the proactor loop runs subprocesses; in a worker, which is a subprocess itself
    and gets its sockets from the parent, it has to be the selector loop.
    """
    if sys.platform == "win32" and not use_subprocess:
        return asyncio.ProactorEventLoop
    return asyncio.SelectorEventLoop
