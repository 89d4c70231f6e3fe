"""Applications as frameworks, libraries and the standard library make them, each found out.

Those that speak ASGI are held against uvicorn, which is to be right about them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any
from wsgiref.simple_server import demo_app
from wsgiref.validate import validator

import a2wsgi
import asgiref.wsgi
import bottle
import flask
import litestar
import pytest
import quart
import sanic
import socketio
import starlette.applications
import starlette.middleware.cors
import starlette.middleware.gzip
import starlette.routing
import uvicorn
import webob
import webob.dec
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from fastapi import FastAPI
from pyramid.config import Configurator
from starlette.responses import PlainTextResponse
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.middleware.shared_data import SharedDataMiddleware
from werkzeug.testapp import test_app as werkzeug_page
from werkzeug.wrappers import Request, Response

from ferricorn.interface import looks_like_factory, recognise

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.middleware.wsgi import WSGIMiddleware

plain = starlette.applications.Starlette()


class FlaskOfOurs(flask.Flask):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class View:
    @Request.application
    def __call__(self, request: Request) -> Response:
        return Response()

    @Request.application
    def method(self, request: Request) -> Response:
        return Response()


def with_a_number(number: int, request: Request) -> Response:
    return Response()


ASGI: dict[str, Callable[[], Any]] = {
    "starlette": lambda: plain,
    "starlette router": starlette.routing.Router,
    "starlette response": lambda: PlainTextResponse("hello"),
    "starlette middleware": lambda: starlette.middleware.gzip.GZipMiddleware(plain),
    "starlette cors": lambda: starlette.middleware.cors.CORSMiddleware(plain),
    "starlette's wsgi": lambda: WSGIMiddleware(demo_app),
    "fastapi": FastAPI,
    "django": lambda: ASGIHandler.__new__(ASGIHandler),
    "quart": lambda: quart.Quart("of_a_test"),
    "sanic": lambda: sanic.Sanic("of_a_test_of_interfaces"),
    "litestar": lambda: litestar.Litestar([]),
    "socketio": lambda: socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi")),
    "a2wsgi": lambda: a2wsgi.WSGIMiddleware(demo_app),
    "asgiref": lambda: asgiref.wsgi.WsgiToAsgi(demo_app),
}

WSGI: dict[str, Callable[[], Any]] = {
    "wsgiref": lambda: demo_app,
    "validator": lambda: validator(demo_app),
    "werkzeug": lambda: werkzeug_page,
    "werkzeug instance": View,
    "werkzeug method": lambda: View().method,
    "werkzeug partial": lambda: partial(Request.application(with_a_number), 5),
    "werkzeug response": lambda: Response("hello"),
    "werkzeug dispatcher": lambda: DispatcherMiddleware(demo_app),
    "werkzeug proxies": lambda: ProxyFix(demo_app),
    "werkzeug files": lambda: SharedDataMiddleware(demo_app, {}),
    "webob": lambda: webob.dec.wsgify(lambda request: "hello"),
    "webob response": webob.Response,
    "flask": lambda: flask.Flask("of_a_test"),
    "flask's method": lambda: flask.Flask("of_a_test").wsgi_app,
    "flask overridden": lambda: FlaskOfOurs("of_a_test"),
    "bottle": bottle.Bottle,
    "bottle's own": bottle.default_app,
    "pyramid": lambda: Configurator().make_wsgi_app(),
    "django": lambda: WSGIHandler.__new__(WSGIHandler),
    "a2wsgi": lambda: a2wsgi.ASGIMiddleware(plain),
    "a list of another's answer": lambda: lambda environ, answer: list(demo_app(environ, answer)),
}


@pytest.mark.parametrize("name", ASGI)
def test_asgi(name: str) -> None:
    app = ASGI[name]()
    assert recognise(app) == "asgi3"
    theirs = uvicorn.Config(app, log_config=None, lifespan="off", proxy_headers=False)
    theirs.load()
    assert theirs.interface == "asgi3"


@pytest.mark.parametrize("name", WSGI)
def test_wsgi(name: str) -> None:
    app = WSGI[name]()
    assert recognise(app) == "wsgi"
    assert not looks_like_factory(app)
