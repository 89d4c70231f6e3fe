# cython: language_level=3
"""Applications of each kind, to be compiled: no Python function is among them.

Each does the same: it answers a request with the version of ASGI that it was called by and the size
of the body, which it reads in a loop. That is done in one function for all of them.
"""

import cython


async def function(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/broken":
        raise LookupError("no such shelf")
    size = 0
    more = True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (scope["asgi"]["version"], " ", str(size)):
        await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
    await send({"type": "http.response.body"})


def passing(scope, receive, send):
    return function(scope, receive, send)


# As Cython compiled everything in its second version: nothing to be asked for a signature.
@cython.binding(False)
async def opaque(scope, receive, send):
    await function(scope, receive, send)


def factory():
    return function


class Plain:
    async def __call__(self, scope, receive, send):
        await function(scope, receive, send)


cdef class Extension:
    async def __call__(self, scope, receive, send):
        await function(scope, receive, send)

    async def method(self, scope, receive, send):
        await function(scope, receive, send)


class Double:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await function(self.scope, receive, send)


cdef class DoubleExtension:
    cdef object scope

    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await function(self.scope, receive, send)


def double(scope):
    return Double(scope)


def wsgi(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"by WSGI"]


instance = Plain()
extension = Extension()
method = extension.method
