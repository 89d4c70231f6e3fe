"""The event loop of the package uvloop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


def uvloop_loop_factory(
    use_subprocess: bool = False,  # noqa: ARG001 (each factory has this parameter)
) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the function that makes a uvloop."""
    return uvloop.new_event_loop
