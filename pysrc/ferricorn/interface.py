"""Finds out how an application wants to be called, and makes one kind of callable of all kinds.

The native floor knows one kind: a callable of `(scope, receive, send)` whose call only makes a
coroutine, and runs none of the application's code yet. An `async def`, a bound async method and an
object with an async `__call__` are that already and pass through untouched, for this is the
hot path. Everything else is wrapped.

Compiled code complicates the question "is this an `async def`?": Cython's functions are no
Python functions, and say so by the flags of their code object or by a mark of asyncio's.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ferricorn.middleware.asgi2 import ASGI2Middleware

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferricorn.typing import ASGI3Application, Receive, Scope, Send

Interface = Literal["asgi3", "asgi2", "wsgi"]


def is_async(function: Any) -> bool:
    """Say whether calling this returns a coroutine without running any of its code."""
    while True:
        if isinstance(function, partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        else:
            break
    code = getattr(function, "__code__", None)
    return (
        inspect.iscoroutinefunction(function)
        or bool(getattr(function, "_is_coroutine", None))
        or bool(getattr(code, "co_flags", 0) & inspect.CO_COROUTINE)
    )


def makes_coroutines(app: Any) -> bool:
    """Say whether the application is async itself, or an instance with an async `__call__`."""
    return is_async(app) or (not inspect.isclass(app) and is_async(type(app).__call__))


def detect_interface(app: Callable[..., Any]) -> Interface:
    """Return the interface that the application speaks.

    What is async speaks ASGI 3. A class does if its instances can be awaited. For the rest the
    number of positional arguments decides: three for ASGI 3, two for WSGI, one for ASGI 2; where
    it tells nothing (`*args`, compiled code), a class speaks ASGI 2 and a function ASGI 3.
    """
    is_class = inspect.isclass(app)
    if makes_coroutines(app) or (is_class and hasattr(app, "__await__")):
        return "asgi3"
    counts = _argument_counts(app)
    if counts is None:
        return "asgi2" if is_class else "asgi3"
    if 1 in counts and (is_class or 3 not in counts):
        return "asgi2"
    return "wsgi" if 2 in counts and 3 not in counts else "asgi3"


def looks_like_factory(app: Any) -> bool:
    """Say whether this can be called with no argument, as no application can."""
    counts = None if makes_coroutines(app) else _argument_counts(app)
    return counts is not None and 0 in counts


def _argument_counts(function: Callable[..., Any]) -> range | None:
    """Return with how many positional arguments this can be called, None if that is open."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    return range(required, len(positional) + 1)


def as_asgi3(app: Any, interface: Interface) -> ASGI3Application:
    """Return the application as a callable of ASGI 3 whose call only makes a coroutine."""
    if interface == "asgi2":
        return ASGI2Middleware(app)
    if makes_coroutines(app):
        return app  # type: ignore[no-any-return]

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        return await app(scope, receive, send)  # type: ignore[no-any-return]

    return application
