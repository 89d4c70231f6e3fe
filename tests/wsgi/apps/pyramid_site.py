"""A Pyramid application: routes with views, JSON, sessions, uploads, files, iterables, errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import FileResponse, Response
from pyramid.session import SignedCookieSessionFactory
from pyramid.view import exception_view_config, notfound_view_config, view_config


@view_config(route_name="hello", renderer="json")
def hello(request: Any) -> Any:
    return {
        "hello": request.matchdict["name"],
        "query": dict(request.GET),
        "method": request.method,
        "host": request.host_url,
        "client": request.client_addr,
    }


@view_config(route_name="count", renderer="string")
def count(request: Any) -> Any:
    request.session["count"] = request.session.get("count", 0) + 1
    return str(request.session["count"])


@view_config(route_name="away")
def away(request: Any) -> Any:
    return HTTPFound(request.route_url("hello", name="there"))


@view_config(route_name="upload", renderer="json", request_method="POST")
def upload(request: Any) -> Any:
    field = request.POST["file"]
    return {
        "name": field.filename,
        "size": len(field.file.read()),
        "note": request.POST["note"],
    }


@view_config(route_name="body", renderer="json")
def body(request: Any) -> Any:
    return {"size": len(request.body)}


@view_config(route_name="lines")
def lines(request: Any) -> Any:
    def portions() -> Iterator[bytes]:
        for number in range(300):
            yield b"line %d\n" % number

    return Response(app_iter=portions(), content_type="text/plain")


@view_config(route_name="file")
def file(request: Any) -> Any:
    return FileResponse(request.GET["path"], request=request, content_type="text/x-file")


@view_config(route_name="broken")
def broken(request: Any) -> Any:
    raise LookupError("no such shelf")


@view_config(route_name="handled")
def handled(request: Any) -> Any:
    raise ValueError("handled")


@exception_view_config(ValueError, renderer="json")
def failed(error: ValueError, request: Any) -> Any:
    request.response.status = 409
    return {"failed": str(error)}


@notfound_view_config(append_slash=False)
def missing(request: Any) -> Any:
    return Response("nothing here", status=404)


def make() -> Any:
    """Make the application, as Pyramid's own `main` does."""
    with Configurator() as config:
        config.set_session_factory(SignedCookieSessionFactory("of a test"))
        config.add_route("hello", "/hello/{name}")
        for name in (
            "count",
            "away",
            "upload",
            "body",
            "lines",
            "file",
            "broken",
            "handled",
        ):
            config.add_route(name, f"/{name}")
        config.scan(sys.modules[__name__])
        return config.make_wsgi_app()


app = make()
