"""Turns `"package.module:attribute"` into the object it names.

Knows nothing of ASGI: the same function finds applications, loop factories and lifespan classes.
The one subtlety is whose fault a failed import is. Only if the named module itself (or a parent
of it) is missing, the *string* is wrong; any other exception belongs to the module's own code and
travels on untouched, because its traceback is what the user has to read.
"""

from __future__ import annotations

import gc
import importlib
from contextlib import contextmanager
from functools import reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Objects until the collector looks, while modules are imported: they make little but what stays.
_IMPORTING = 200_000


class ImportFromStringError(Exception):
    """The import string does not name an importable object."""


def import_from_string(import_str: Any) -> Any:
    """Return the object that `"module:attribute"` names; anything but a string comes back as is.

    The attribute may be dotted. Raises ImportFromStringError if the string is malformed, or if
    the module or the attribute does not exist.
    """
    if not isinstance(import_str, str):
        return import_str

    module_name, _, attributes = import_str.partition(":")
    if not module_name or not attributes:
        raise ImportFromStringError(
            f'Import string "{import_str}" must be in format "<module>:<attribute>".'
        )

    try:
        with _collecting_seldom():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not _names(error.name, module_name):
            raise
        raise ImportFromStringError(f'Could not import module "{module_name}".') from None

    try:
        return reduce(getattr, attributes.split("."), module)
    except AttributeError:
        raise ImportFromStringError(
            f'Attribute "{attributes}" not found in module "{module_name}".'
        ) from None


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for garbage less often: a tenth of a framework's import would be spent on it."""
    usual, *others = gc.get_threshold()
    # 0 is a collector that is off, and a threshold that has changed since is the application's.
    seldom = (max(usual, _IMPORTING) if usual else 0, *others)
    gc.set_threshold(*seldom)
    try:
        yield
    finally:
        if gc.get_threshold() == seldom:
            gc.set_threshold(usual, *others)


def _names(missing: str | None, module_name: str) -> bool:
    return missing is not None and f"{module_name}.".startswith(f"{missing}.")
