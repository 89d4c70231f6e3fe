# cython: language_level=3
"""WSGI applications of each kind, to be compiled.

Each does the same: it answers with the size of the body, which it reads in a loop.
"""

import cython


def function(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        raise LookupError("no such shelf")
    size = 0
    while True:
        piece = environ["wsgi.input"].read(10_000)
        if not piece:
            break
        size += len(piece)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"size ", str(size).encode()]


def generator(environ, start_response):
    for portion in function(environ, start_response):
        yield portion


# As Cython compiled everything in its second version: nothing to be asked for a signature.
@cython.binding(False)
def opaque(environ, start_response):
    return function(environ, start_response)


class Plain:
    def __call__(self, environ, start_response):
        return function(environ, start_response)


cdef class Extension:
    def __call__(self, environ, start_response):
        return function(environ, start_response)

    def method(self, environ, start_response):
        return function(environ, start_response)


class Iterated:
    def __init__(self, environ, start_response):
        self.environ = environ
        self.start_response = start_response

    def __iter__(self):
        return iter(function(self.environ, self.start_response))


cdef class IteratedExtension:
    cdef object environ
    cdef object start_response

    def __init__(self, environ, start_response):
        self.environ = environ
        self.start_response = start_response

    def __iter__(self):
        return iter(function(self.environ, self.start_response))


instance = Plain()
extension = Extension()
method = extension.method
