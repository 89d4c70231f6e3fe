"""A Quart application: bodies, streams, events, tasks of its own, files, and its context locals.

Quart reads a body and watches for the client's leaving in a task beside the handler's, and what it
hands out as `request` and `g` is found through context variables.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from quart import Quart, Response, g, jsonify, make_response, request, send_file, session
from quart import stream_with_context as with_context
from tests.apps.board import note, noted

app = Quart(__name__)
app.secret_key = "of a test"
app.config["MAX_CONTENT_LENGTH"] = 4_000_000

#: What waits until a test opens it.
doors: dict[str, asyncio.Event] = {}


@app.before_serving
async def open_shelf() -> None:
    app.shelf = "open"  # type: ignore[attr-defined]


@app.before_request
async def remember() -> None:
    g.who = request.headers.get("x-who", "nobody")


@app.get("/notes/<name>")
async def notes(name: str) -> Response:
    return jsonify(await noted(name, int(request.query_string or 1)))


@app.get("/shelf/<path:rest>")
async def shelf(rest: str) -> Response:
    return jsonify(
        {
            "shelf": app.shelf,  # type: ignore[attr-defined]
            "path": rest,
            "query": request.args.to_dict(),
            "client": request.remote_addr,
            "host": request.host,
        }
    )


@app.get("/who")
async def who() -> Response:
    """Look at the locals before and after others have had their turn, and in a task."""
    before = g.who, request.headers.get("x-who", "nobody")
    await asyncio.sleep(0.001)

    async def inside() -> str:
        return str(g.who)

    return jsonify([*before, g.who, await asyncio.create_task(inside())])


@app.get("/who/thread")
def who_in_a_thread() -> Response:
    return jsonify([g.who, request.headers.get("x-who", "nobody")])


@app.get("/visits")
async def visits() -> str:
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


@app.post("/body")
async def body() -> Response:
    data = await request.get_data()
    return jsonify({"size": len(data), "digest": hashlib.sha256(data).hexdigest()})


@app.post("/body/pieces")
async def body_in_pieces() -> Response:
    digest = hashlib.sha256()
    async for piece in request.body:
        digest.update(piece)
    return jsonify({"digest": digest.hexdigest()})


@app.post("/upload")
async def upload() -> Response:
    file = (await request.files)["file"]
    data = file.read()
    return jsonify(
        {
            "name": file.filename,
            "digest": hashlib.sha256(data).hexdigest(),
            "note": (await request.form)["note"],
        }
    )


@app.get("/stream")
async def stream() -> Response:
    @with_context
    async def lines() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"{request.headers.get('x-who')} {number}\n"
            if number % 100 == 0:
                await asyncio.sleep(0)

    return Response(lines(), content_type="text/plain")


@app.get("/events")
async def events() -> Response:
    """Send events, each when the one before was let through its door."""

    async def each() -> AsyncIterator[bytes]:
        try:
            for number in range(3):
                door = doors["events"] = asyncio.Event()
                yield b"event: tick\ndata: %d\n\n" % number
                await door.wait()
        finally:
            note("events", "closed")

    response = await make_response(each(), {"content-type": "text/event-stream"})
    response.timeout = None
    return response


@app.get("/open/<name>")
async def open_door(name: str) -> str:
    doors.pop(name).set()
    return "open"


@app.get("/background")
async def background() -> str:
    door = doors["background"] = asyncio.Event()

    async def later() -> None:
        await door.wait()
        note("background", "ran")

    app.add_background_task(later)
    return "soon"


@app.get("/file")
async def file() -> Response:
    return await send_file(Path(__file__), mimetype="text/plain", conditional=True)


@app.get("/broken")
async def broken() -> str:
    raise LookupError("no such shelf")
