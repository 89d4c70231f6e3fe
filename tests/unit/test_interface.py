"""How applications of all shapes are recognised and called."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any

import pytest

from ferricorn.interface import as_asgi3, detect_interface, looks_like_factory, recognise


async def function(scope: Any, receive: Any, send: Any) -> None:
    scope["seen"] = "function"


def returns_a_coroutine(scope: Any, receive: Any, send: Any) -> Any:
    return function(scope, receive, send)


@wraps(function)
def wrapper(*args: Any) -> Any:
    return function(*args)


def open_wrapper(*args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def endless(*args: Any) -> Any:
    """Stand for itself."""
    return function(*args)


endless.__wrapped__ = endless  # type: ignore[attr-defined]


async def with_more(more: int, scope: Any, receive: Any, send: Any) -> None:
    scope["seen"] = more


class Instance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["seen"] = "instance"

    async def method(self, scope: Any, receive: Any, send: Any) -> None:
        scope["seen"] = "method"

    def open_method(self, *args: Any) -> Any:
        return self.method(*args)

    def sync_method(self, scope: Any, receive: Any, send: Any) -> Any:
        return self.method(scope, receive, send)


@wraps(function)
def with_arguments_of_its_own(*args: Any) -> Any:
    return wrapper(*args)


@wraps(lambda request: None)
def of_a_view(scope: Any, receive: Any, send: Any) -> Any:
    return function(scope, receive, send)


class Awaitable:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope

    def __await__(self) -> Any:
        self.scope["seen"] = "awaitable"
        yield from ()


class Slotted:
    """Says what is called in a slot, as Sentry's middleware does."""

    __slots__ = ("__call__",)

    def __init__(self) -> None:
        self.__call__ = function


class Starred:
    async def __call__(self, *args: Any) -> None:
        await function(*args)


class Dual:
    """Serves ASGI 2 and 3."""

    def __call__(self, scope: Any, receive: Any = ..., send: Any = ...) -> Any:
        return Double(scope) if receive is ... else function(scope, receive, send)


class Overriding(Instance):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


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


class OpenDouble(Double):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)


@wraps(Double)
def double_wrapper(*args: Any) -> Any:
    return Double(*args)


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


class OpenWsgiClass(WsgiClass):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)


class WsgiClassWithMore(WsgiClass):
    def __init__(self, environ: Any, start_response: Any, more: int = 0) -> None: ...


class SlottedWsgi:
    __slots__ = ("__call__",)

    def __init__(self) -> None:
        self.__call__ = wsgi_function


class Indexed:
    def __init__(self, *args: Any) -> None: ...

    def __getitem__(self, place: int) -> bytes:
        raise IndexError


class OverridingWsgi(WsgiInstance):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


def logged(function: Any) -> Any:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def of_a_request(view: Any) -> Any:
    """Decorate as frameworks do: what is called takes other arguments than what is wrapped."""

    @wraps(view)
    def call(environ: Any, start_response: Any) -> Any:
        return view(environ)

    return call


@of_a_request
def view(request: Any) -> Any:
    return []


class Decorated:
    @logged
    def __call__(self, environ: Any, start_response: Any) -> Any:
        return []

    @logged
    def method(self, environ: Any, start_response: Any) -> Any:
        return []

    @logged
    def with_more(self, more: int, environ: Any, start_response: Any) -> Any:
        return []


class Falsy:
    """Says no, and may be wrapped all the same."""

    def __len__(self) -> int:
        return 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return []


def wrapping(app: Any) -> Any:
    def call(*args: Any) -> Any:
        return app(*args)

    call.__wrapped__ = app  # type: ignore[attr-defined]
    return call


def named_two(environ: Any, start_response: Any, *more: Any) -> Any:
    return []


def with_another(environ: Any, start_response: Any, another: int = 0) -> Any:
    return []


ASYNC = [
    function,
    partial(with_more, 5),
    partial(partial(with_more), 5),
    Instance(),
    Instance().method,
    Slotted(),
    Starred(),
    Compiled(),
    Marked(),
]
ASGI3 = [
    *ASYNC,
    returns_a_coroutine,
    partial(returns_a_coroutine),
    wrapper,
    with_arguments_of_its_own,
    of_a_view,
    Instance().sync_method,
    Dual(),
    Overriding(),
    Awaitable,
]
ASGI2 = [
    Double,
    OpenDouble,
    double_function,
    double_wrapper,
    DoubleInstance(),
    partial(Double),
]
WSGI = [
    wsgi_function,
    with_another,
    named_two,
    partial(wsgi_function),
    WsgiInstance(),
    WsgiInstance().__call__,
    SlottedWsgi(),
    OverridingWsgi(),
    WsgiClass,
    WsgiClassWithMore,
    OpenWsgiClass,
    Indexed,
    partial(WsgiClass),
    logged(wsgi_function),
    logged(logged(wsgi_function)),
    partial(logged(wsgi_function)),
    view,
    logged(view),
    Decorated(),
    Decorated().method,
    partial(Decorated().with_more, 5),
    wrapping(Falsy()),
]

# They say nothing, and what is made of them is a guess.
OPEN = [open_wrapper, Instance().open_method, partial(open_wrapper), endless]


@pytest.mark.parametrize("app", ASGI3, ids=repr)
def test_asgi3(app: Any) -> None:
    assert detect_interface(app) == "asgi3"


@pytest.mark.parametrize("app", OPEN, ids=repr)
def test_who_says_nothing_is_taken_for_asgi3(app: Any) -> None:
    assert recognise(app) is None
    assert detect_interface(app) == "asgi3"


def test_compiled_code_without_a_signature_says_nothing() -> None:
    assert recognise(max) is None


@pytest.mark.parametrize("app", ASGI3 + ASGI2 + WSGI, ids=repr)
def test_all_others_are_recognised(app: Any) -> None:
    assert recognise(app) == detect_interface(app)


@pytest.mark.parametrize("app", ASGI2, ids=repr)
def test_asgi2(app: Any) -> None:
    assert detect_interface(app) == "asgi2"


@pytest.mark.parametrize("app", WSGI, ids=repr)
def test_wsgi(app: Any) -> None:
    assert detect_interface(app) == "wsgi"


@pytest.mark.parametrize("app", ASYNC, ids=repr)
def test_what_is_async_is_passed_on_as_it_is(app: Any) -> None:
    assert as_asgi3(app, "asgi3") is app


@pytest.mark.parametrize("app", ASGI3 + OPEN + ASGI2, ids=repr)
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


@pytest.mark.parametrize(
    "factory", [lambda: function, lambda debug=False: function, logged(lambda: function), Instance]
)
def test_a_factory_needs_no_argument(factory: Any) -> None:
    assert looks_like_factory(factory)


@pytest.mark.parametrize("app", ASGI3 + ASGI2 + WSGI + OPEN, ids=repr)
def test_no_application_is_a_factory(app: Any) -> None:
    assert not looks_like_factory(app)
