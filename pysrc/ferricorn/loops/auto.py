"""uvloop where it is installed, asyncio elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


def auto_loop_factory(use_subprocess: bool = False) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the factory of the fastest loop that is installed."""
    try:
        from ferricorn.loops.uvloop import uvloop_loop_factory
    except ImportError:
        from ferricorn.loops.asyncio import asyncio_loop_factory

        return asyncio_loop_factory(use_subprocess)
    return uvloop_loop_factory(use_subprocess)
