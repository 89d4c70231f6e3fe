"""Applications of all shapes. Which one it is, the server finds out."""

import hello


# --8<-- [start:asgi3]
class Instance:
    async def __call__(self, scope, receive, send):
        await hello.app(scope, receive, send)


instance = Instance()  # ferricorn shapes:instance
# --8<-- [end:asgi3]


# --8<-- [start:asgi2]
class Asgi2:  # ferricorn shapes:Asgi2
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await hello.app(self.scope, receive, send)


# --8<-- [end:asgi2]


# --8<-- [start:factory]
def create_app():  # ferricorn --factory shapes:create_app
    return hello.app


# --8<-- [end:factory]


# --8<-- [start:wsgi]
def wsgi(environ, start_response):  # ferricorn shapes:wsgi
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"Hello, world!\n"]


# --8<-- [end:wsgi]
