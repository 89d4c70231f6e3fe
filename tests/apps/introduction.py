"""The two applications by which ASGI is commonly introduced: a function, and a class."""

from __future__ import annotations

from typing import Any


async def simple_asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """Answer HTTP requests, without a word about the length of the answer."""
    assert scope["type"] == "http"
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [[b"content-type", b"text/plain"]],
        }
    )
    await send({"type": "http.response.body", "body": b"Hello, world!"})


class Application:
    """Answers HTTP requests by methods of its own."""

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve by the type of the scope."""
        if scope["type"] == "http":
            await self.handle_http(scope, receive, send)

    async def handle_http(self, scope: Any, receive: Any, send: Any) -> None:
        """Greet whoever the body names."""
        body = b""
        more_body = True
        while more_body:
            message = await receive()
            body += message.get("body", b"")
            more_body = message.get("more_body", False)
        name = body.decode() or scope["path"].lstrip("/") or "world"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send(
            {"type": "http.response.body", "body": f"{self.greeting}, ".encode(), "more_body": True}
        )
        await send({"type": "http.response.body", "body": name.encode()})


application = Application("Good day")
