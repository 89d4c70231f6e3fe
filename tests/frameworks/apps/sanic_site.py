"""A Sanic application, which routes nothing before its lifespan has started it.

Sanic takes messages from `receive` by itself as a handler iterates, and splits a response into
`send`s of its own. The static file is this very source, so that a test can compare it.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextvars import ContextVar

from sanic import HTTPResponse, Request, Sanic, SanicException, json, text
from sanic.response import file_stream
from tests.apps.board import note, noted

app = Sanic("site")
app.config.REQUEST_MAX_SIZE = 4_000_000
app.static("/source", __file__, name="source")

who: ContextVar[str] = ContextVar("who", default="nobody")

#: What waits until a test opens it.
doors: dict[str, asyncio.Event] = {}


@app.before_server_start
async def before(app: Sanic) -> None:
    app.ctx.started = ["before"]


@app.after_server_start
async def after(app: Sanic) -> None:
    app.ctx.started.append("after")


@app.before_server_stop
async def stop(app: Sanic) -> None:
    print("the site stops", flush=True)


@app.on_request
async def remember(request: Request) -> None:
    who.set(request.headers.get("x-who", "nobody"))


@app.on_response
async def stamp(request: Request, response: HTTPResponse) -> None:
    response.headers["x-stamp"] = request.path


@app.get("/notes/<name>")
async def notes(request: Request, name: str) -> HTTPResponse:
    return json(await noted(name, int(request.query_string or 1)))


@app.get("/open/<name>")
async def open_door(request: Request, name: str) -> HTTPResponse:
    doors.pop(name).set()
    return text("open")


@app.get("/started")
async def started(request: Request) -> HTTPResponse:
    return json(request.app.ctx.started)


@app.get("/shelf/<rest:path>")
async def shelf(request: Request, rest: str) -> HTTPResponse:
    return json(
        {
            "rest": rest,
            "query": dict(request.query_args),
            "host": request.host,
            "client": request.ip,
        }
    )


@app.get("/who")
async def tell_who(request: Request) -> HTTPResponse:
    await asyncio.sleep(0.001)
    return json([who.get(), request.headers.get("x-who", "nobody")])


@app.get("/thread")
async def thread(request: Request) -> HTTPResponse:
    name = await asyncio.to_thread(lambda: (who.get(), threading.current_thread().name))
    return json({"who": name[0], "main": name[1] == threading.main_thread().name})


@app.get("/visits")
async def visits(request: Request) -> HTTPResponse:
    count = int(request.cookies.get("visits", "0")) + 1
    response = text(str(count))
    response.add_cookie("visits", str(count), secure=False)
    response.add_cookie("last", request.name.split(".")[-1], secure=False)
    return response


@app.post("/body")
async def body(request: Request) -> HTTPResponse:
    digest = hashlib.sha256(request.body).hexdigest()
    return json({"size": len(request.body), "digest": digest})


@app.post("/body/pieces", stream=True)
async def body_in_pieces(request: Request) -> HTTPResponse:
    digest = hashlib.sha256()
    async for piece in request.stream:
        digest.update(piece)
    return json({"digest": digest.hexdigest()})


@app.post("/body/back", stream=True)
async def body_back(request: Request) -> None:
    """Send each piece back before the next is read."""
    response = await request.respond(content_type="application/octet-stream")
    async for piece in request.stream:
        await response.send(piece)
    await response.eof()


@app.post("/upload")
async def upload(request: Request) -> HTTPResponse:
    file = request.files.get("file")
    digest = hashlib.sha256(file.body).hexdigest()
    return json({"name": file.name, "digest": digest, "note": request.form.get("note")})


@app.get("/stream")
async def stream(request: Request) -> None:
    response = await request.respond(content_type="text/plain")
    for number in range(500):
        await response.send(f"line {number}\n")
        if number % 100 == 0:
            await asyncio.sleep(0)
    await response.eof()


@app.get("/events")
async def events(request: Request) -> None:
    """Send events, each when the one before was let through its door."""
    response = await request.respond(content_type="text/event-stream")
    for number in range(3):
        door = doors["events"] = asyncio.Event()
        await response.send(f"data: {number}\n\n")
        await door.wait()
    await response.eof()


@app.get("/background")
async def background(request: Request) -> HTTPResponse:
    door = doors["background"] = asyncio.Event()

    async def later() -> None:
        await door.wait()
        note("background", "ran")

    request.app.add_task(later())
    return text("soon")


@app.get("/file")
async def file(request: Request) -> HTTPResponse:
    return await file_stream(__file__, chunk_size=500, mime_type="text/plain")


@app.get("/refused")
async def refused(request: Request) -> None:
    raise SanicException("no tea", status_code=418)


@app.get("/broken")
async def broken(request: Request) -> None:
    raise LookupError("no such shelf")
