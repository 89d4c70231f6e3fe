"""Who drives the native floor: drivers of one shape, and the choice.

A driver is made with `Driver(native, loop, context)` and has `start(endpoint)`, `leave()` (accept
no more), `stop()` (graceful) and `close()` (at once). Its `poll` says whether the native server
needs a poller of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from ferricorn.drivers.protocol import ProtocolDriver
from ferricorn.drivers.reactor import ReactorDriver
from ferricorn.drivers.threads import ThreadsDriver

if TYPE_CHECKING:
    import asyncio

DriverType = Literal["auto", "reactor", "protocol"]
Driver = ReactorDriver | ProtocolDriver | ThreadsDriver

DRIVERS: tuple[str, ...] = get_args(DriverType)


def choose(name: DriverType, loop: asyncio.AbstractEventLoop) -> type[Driver]:
    """Return the driver of that name; `auto` is the reactor on each loop that can watch a file.

    Windows' proactor loop cannot: it inherits `add_reader` as the base class refuses it.
    """
    if name == "auto":
        from asyncio import AbstractEventLoop

        watches = type(loop).add_reader is not AbstractEventLoop.add_reader
        name = "reactor" if watches else "protocol"
    return ReactorDriver if name == "reactor" else ProtocolDriver
