"""The application that a configuration names: found, or made.

What cannot be found or made ends the process with a line in the log: there is nothing to serve.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from ferricorn.importer import ImportFromStringError, import_from_string
from ferricorn.interface import looks_like_factory

if TYPE_CHECKING:
    from collections.abc import Callable

STARTUP_FAILURE = 3
"""The exit status of a server that could not start."""

logger = logging.getLogger("uvicorn.error")


def find_application(named: Any, *, factory: bool) -> Any:
    """Return the application that is named, or that the factory of that name makes."""
    try:
        app = import_from_string(named)
    except ImportFromStringError as error:
        logger.error("Error loading ASGI app. %s", error)
        sys.exit(STARTUP_FAILURE)
    if factory:
        return _call_factory(app)
    if looks_like_factory(app):
        app = app()
        logger.warning(
            "ASGI app factory detected. Using it, "
            "but please consider setting the --factory flag explicitly."
        )
    return app


def _call_factory(factory: Callable[[], Any]) -> Any:
    try:
        return factory()
    except TypeError as error:
        # Raised by the call itself, not by code inside: the factory wants arguments.
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        logger.error("Error loading ASGI app factory: %s", error)
        sys.exit(STARTUP_FAILURE)
