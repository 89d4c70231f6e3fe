"""The application that a configuration names: found, or made.

What cannot be found or made ends the process with a line in the log: there is nothing to serve.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from ferricorn.importer import ImportFromStringError, import_from_string
from ferricorn.interface import detect_interface, looks_like_factory, recognise

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferricorn.interface import Interface

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


def interface_of(app: Any) -> Interface:
    """Return the interface that the application speaks; the log says so if that is a guess."""
    found = recognise(app)
    if found is not None:
        return found
    guess = detect_interface(app)
    logger.warning(
        "The arguments of the application do not say what it is. It is called as ASGI %s: "
        "set --interface if it is something else.",
        guess.removeprefix("asgi"),
    )
    return guess


def _call_factory(factory: Callable[[], Any]) -> Any:
    try:
        return factory()
    except TypeError as error:
        # Raised by the call itself, not by code inside: the factory wants arguments.
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        logger.error("Error loading ASGI app factory: %s", error)
        sys.exit(STARTUP_FAILURE)
