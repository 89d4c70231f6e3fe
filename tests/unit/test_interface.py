"""How applications of all shapes are recognised and called."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any

import pytest

from ferricorn.interface import as_asgi3, detect_interface, looks_like_factory


async def function(scope: Any, receive: Any, send: Any) -> None:
    scope["seen"] = "function"


def returns_a_coroutine(scope: Any, receive: Any, send: Any) -> Any:
    return function(scope, receive, send)


@wraps(function)
def wrapper(*args: Any) -> Any:
    return function(*args)


def open_wrapper(*args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


async def with_more(more: int, scope: Any, receive: Any, send: Any) -> None:
    scope["seen"] = more


class Instance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["seen"] = "instance"

    async def method(self, scope: Any, receive: Any, send: Any) -> None:
        scope["seen"] = "method"

    def sync_method(self, scope: Any, receive: Any, send: Any) -> Any:
        return self.method(scope, receive, send)


class Awaitable:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope

    def __await__(self) -> Any:
        self.scope["seen"] = "awaitable"
        yield from ()


class Compiled:
    """Calls like a function of Cython: no Python function, and async by its code's flags."""

    __code__ = SimpleNamespace(co_flags=inspect.CO_COROUTINE)

    def __call__(self, *args: Any) -> Any:
        return function(*args)


class Marked:
    """Calls like an older function of Cython: async by asyncio's mark."""

    _is_coroutine = True

    def __call__(self, *args: Any) -> Any:
        return function(*args)


class Double:
    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        self.scope["seen"] = "double"


def double_function(scope: Any) -> Any:
    return Double(scope)


class DoubleInstance:
    def __call__(self, scope: Any) -> Any:
        return Double(scope)


def wsgi_function(environ: Any, start_response: Any) -> Any:
    return []


class WsgiInstance:
    def __call__(self, environ: Any, start_response: Any) -> Any:
        return []


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Any:
        return iter(())


ASYNC = [
    function,
    partial(with_more, 5),
    partial(partial(with_more), 5),
    Instance(),
    Instance().method,
    Compiled(),
    Marked(),
]
ASGI3 = [
    *ASYNC,
    returns_a_coroutine,
    partial(returns_a_coroutine),
    wrapper,
    open_wrapper,
    Instance().sync_method,
    Awaitable,
]
ASGI2 = [Double, double_function, DoubleInstance(), partial(Double)]
WSGI = [wsgi_function, WsgiInstance(), WsgiClass, partial(wsgi_function)]


@pytest.mark.parametrize("app", ASGI3, ids=repr)
def test_asgi3(app: Any) -> None:
    assert detect_interface(app) == "asgi3"


@pytest.mark.parametrize("app", ASGI2, ids=repr)
def test_asgi2(app: Any) -> None:
    assert detect_interface(app) == "asgi2"


@pytest.mark.parametrize("app", WSGI, ids=repr)
def test_wsgi(app: Any) -> None:
    assert detect_interface(app) == "wsgi"


@pytest.mark.parametrize("app", ASYNC, ids=repr)
def test_what_is_async_is_passed_on_as_it_is(app: Any) -> None:
    assert as_asgi3(app, "asgi3") is app


@pytest.mark.parametrize("app", ASGI3 + ASGI2, ids=repr)
def test_the_call_makes_a_coroutine_and_runs_nothing(app: Any) -> None:
    scope: dict[str, Any] = {}
    coroutine: Any = as_asgi3(app, detect_interface(app))(scope, None, None)  # type: ignore[arg-type]
    assert asyncio.iscoroutine(coroutine)
    assert scope == {}
    asyncio.run(coroutine)
    assert "seen" in scope


def test_what_the_application_returns_is_kept() -> None:
    async def returning() -> str:
        return "something"

    app: Any = as_asgi3(lambda scope, receive, send: returning(), "asgi3")
    assert asyncio.run(app({}, None, None)) == "something"


@pytest.mark.parametrize("factory", [lambda: function, lambda debug=False: function, Instance])
def test_a_factory_needs_no_argument(factory: Any) -> None:
    assert looks_like_factory(factory)


@pytest.mark.parametrize("app", ASGI3 + ASGI2 + WSGI, ids=repr)
def test_no_application_is_a_factory(app: Any) -> None:
    assert not looks_like_factory(app)
