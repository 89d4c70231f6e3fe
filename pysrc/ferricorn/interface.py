"""Finds out how an application wants to be called, and makes one kind of callable of all kinds.

The native floor knows one kind: a callable of `(scope, receive, send)` whose call only makes a
coroutine, and runs none of the application's code yet. An `async def`, a bound async method and an
object with an async `__call__` are that already and pass through untouched, for this is the
hot path. Everything else is wrapped.

What takes the call is asked first. Only if that takes anything (`*args`) does it matter what it
says it stands for: a decorator may well make other arguments of those it was given, as Werkzeug's
makes a request of an environ. What a function has in its closure is never looked at.

Compiled code complicates the question "is this an `async def`?": Cython's functions are no
Python functions, and say so by the flags of their code object or by a mark of asyncio's.
"""

from __future__ import annotations

import inspect
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Literal

from ferricorn.middleware.asgi2 import ASGI2Middleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ferricorn.typing import ASGI3Application, Receive, Scope, Send

Interface = Literal["asgi3", "asgi2", "wsgi"]

# Packages that know no other interface: what their code takes a call for is WSGI.
_WSGI_PACKAGES = {"paste", "webob", "webtest", "werkzeug", "wsgiref"}
# Decorators upon decorators; more is an object that has every attribute.
_DEEPEST = 100
# As many positional arguments as somebody likes.
_ANY = 1 << 16


def is_async(function: Any) -> bool:
    """Say whether calling this returns a coroutine without running any of its code."""
    function = _bare(function)
    code = getattr(function, "__code__", None)
    return (
        inspect.iscoroutinefunction(function)
        or bool(getattr(function, "_is_coroutine", None))
        or bool(getattr(code, "co_flags", 0) & inspect.CO_COROUTINE)
    )


def makes_coroutines(app: Any) -> bool:
    """Say whether the application is async itself, or an instance with an async `__call__`."""
    return is_async(app) or (not inspect.isclass(app) and is_async(_call_of(app)))


def detect_interface(app: Callable[..., Any]) -> Interface:
    """Return the interface that the application speaks, as far as that can be known.

    What says nothing is taken for ASGI 2 if it is a class, and for ASGI 3 if not.
    """
    return recognise(app) or ("asgi2" if inspect.isclass(app) else "asgi3")


def recognise(app: Callable[..., Any]) -> Interface | None:
    """Return the interface that the application speaks, None if it does not say.

    What is async speaks ASGI 3. A class does if its instances can be awaited. For the rest the
    number of positional arguments decides: three for ASGI 3, two for WSGI, one for ASGI 2. Where
    that is open (`*args`, compiled code) a class speaks ASGI 2 if its instances can be called, and
    WSGI if they can only be iterated.
    """
    is_class = inspect.isclass(app)
    if makes_coroutines(app) or (is_class and hasattr(app, "__await__")):
        return "asgi3"
    telling = _telling(app)
    if telling is not None:
        return _interface_of(telling, is_class=is_class)
    if is_class and _has(app, "__call__"):
        return "asgi2"
    if is_class and (_has(app, "__iter__") or _has(app, "__getitem__")):
        return "wsgi"
    return None


def _interface_of(telling: Any, *, is_class: bool) -> Interface:
    counts = _argument_counts(telling)
    if counts is None:
        return "asgi3" if is_async(telling) else "wsgi"
    if counts[0] == 2:
        return "wsgi"
    # Who takes one or three serves both versions of ASGI.
    if 1 in counts and (is_class or 3 not in counts):
        return "asgi2"
    return "wsgi" if 2 in counts and 3 not in counts else "asgi3"


def looks_like_factory(app: Any) -> bool:
    """Say whether this can be called with no argument, as no application can."""
    telling = None if makes_coroutines(app) else _telling(app)
    counts = None if telling is None else _argument_counts(telling)
    return counts is not None and 0 in counts


def _telling(app: Any) -> Any:
    """Return the outermost layer of an application that says how it is called, None if none does.

    One that takes anything says so too if it is async, or of a package that makes nothing but WSGI.
    """
    for layer in _layers(app):
        if _argument_counts(layer) is not None or is_async(layer) or _is_of_wsgi(layer):
            return layer
    return None


def _layers(app: Any) -> Iterator[Any]:
    """Yield what takes the call, and then what that says it stands for."""
    yield app
    yield from _wrapped(app)
    if not inspect.isclass(app):
        yield _call_of(app)
        # A method that takes anything promises what the one that it overrides does.
        for kind in type(app).__mro__:
            call = vars(kind).get("__call__")
            if inspect.isfunction(call):
                yield (method := MethodType(call, app))
                yield from _wrapped(method)


def _wrapped(function: Any) -> Iterator[Any]:
    """Yield what a decorated function is said to wrap, outermost first."""
    for _ in range(_DEEPEST):
        function = _next_wrapped(function)
        if function is None:
            return
        yield function


def _next_wrapped(function: Any) -> Any:
    """Return what a function is said to wrap, bound to the same arguments; None if to nothing."""
    if isinstance(function, partial):
        inner = _next_wrapped(function.func)
        return None if inner is None else partial(inner, *function.args, **function.keywords)
    if inspect.ismethod(function):
        inner = _next_wrapped(function.__func__)
        return None if inner is None else MethodType(inner, function.__self__)
    inner = getattr(function, "__wrapped__", None)
    return inner if callable(inner) else None


def _argument_counts(function: Any) -> range | None:
    """Return with how many positional arguments this can be called, None if that is open.

    Whoever names two of them, and takes anything besides, is called with two.
    """
    try:
        # What is wrapped may take others: see `_layers`.
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return range(required, _ANY) if required > 1 else None
    return range(required, len(positional) + 1)


def _is_of_wsgi(function: Any) -> bool:
    """Say whether the code that takes the call is of a package that only knows WSGI."""
    # Not `__module__`, which decorators copy.
    names = getattr(_bare(function), "__globals__", None)
    module = names.get("__name__") if isinstance(names, dict) else None
    return str(module).partition(".")[0] in _WSGI_PACKAGES


def _bare(function: Any) -> Any:
    """Return the function within partial objects and bound methods."""
    while True:
        if isinstance(function, partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        else:
            return function


def _call_of(app: Any) -> Any:
    """Return what Python calls for an instance, which may stand in a slot of it; None if nothing.

    That is not always `app.__call__`: an instance's own attribute is not looked at.
    """
    found = inspect.getattr_static(type(app), "__call__", None)
    bind = getattr(type(found), "__get__", None)
    try:
        return found if bind is None else bind(found, app, type(app))
    except AttributeError:
        return None


def _has(kind: Any, name: str) -> bool:
    """Say whether instances of the class have this method."""
    return any(name in vars(each) for each in kind.__mro__)


def as_asgi3(app: Any, interface: Interface) -> ASGI3Application:
    """Return the application as a callable of ASGI 3 whose call only makes a coroutine."""
    if interface == "asgi2":
        return ASGI2Middleware(app)
    if makes_coroutines(app):
        return app  # type: ignore[no-any-return]

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        return await app(scope, receive, send)  # type: ignore[no-any-return]

    return application
