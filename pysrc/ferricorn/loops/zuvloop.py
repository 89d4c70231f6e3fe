"""The event loop of the package zuvloop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zuvloop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


def zuvloop_loop_factory(
    use_subprocess: bool = False,  # noqa: ARG001 (each factory has this parameter)
) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the function that makes a zuvloop."""
    return zuvloop.new_event_loop  # type: ignore[no-any-return]
