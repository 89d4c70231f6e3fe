"""An ASGI server for Python whose connections are served by native code.

The names below are imported when they are first used, so that the command line can show its help
without loading a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferricorn.cli import main
    from ferricorn.config import Config
    from ferricorn.runner import run
    from ferricorn.server import Server

__version__ = "0.1.0"

__all__ = ["Config", "Server", "main", "run"]

_HOMES = {"Config": "config", "Server": "server", "main": "cli", "run": "runner"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
