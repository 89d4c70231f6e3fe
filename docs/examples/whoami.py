"""Answers with what the application is told of its client."""

import json


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    host = dict(scope["headers"]).get(b"host", b"").decode()
    seen = {"client": scope["client"], "scheme": scope["scheme"], "host": host}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
