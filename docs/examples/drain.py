"""Readiness that says no, and a stream that ends, as soon as the server is asked to end."""

import asyncio


def draining(scope):
    """Return the event that is set when the server is asked to end; None if it does not say."""
    return scope.get("extensions", {}).get("ferricorn.drain", {}).get("event")


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    event = draining(scope)
    if scope["path"] == "/ready":
        status = 503 if event and event.is_set() else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})
    elif scope["path"] == "/stream":
        await stream(event, send)
    else:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})


async def stream(event, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    ending = asyncio.ensure_future(event.wait() if event else asyncio.Event().wait())
    try:
        while not ending.done():
            await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
            await asyncio.wait({ending}, timeout=1)
        await send({"type": "http.response.body", "body": b"bye\n"})
    finally:
        ending.cancel()
