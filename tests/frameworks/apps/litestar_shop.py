"""A Litestar application: typed routes, dependencies that clean up, streams, events and tasks.

A stream runs in a task group beside one that awaits the client's leaving, and a file is sent by
threads; the file is this very source, so that a test can compare it.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.config.compression import CompressionConfig
from litestar.datastructures import Cookie, State, UploadFile
from litestar.di import Provide
from litestar.enums import RequestEncodingType
from litestar.exceptions import HTTPException
from litestar.logging import LoggingConfig
from litestar.params import Body
from litestar.response import File, ServerSentEvent, Stream
from tests.apps.board import note, noted

AnyRequest = Request[Any, Any, Any]

#: What waits until a test opens it.
doors: dict[str, asyncio.Event] = {}


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    app.state.shop = "open"
    yield
    print("the shop is closed", flush=True)


@get("/notes/{name:str}")
async def notes(request: AnyRequest, name: str) -> list[Any]:
    return await noted(name, int(request.scope["query_string"] or 1))


@get("/open/{name:str}", media_type=MediaType.TEXT)
async def open_door(name: str) -> str:
    doors.pop(name).set()
    return "open"


@get("/shop/{place:path}")
async def shop(request: AnyRequest, state: State, place: Path, amount: int) -> dict[str, Any]:
    return {
        "shop": state.shop,
        "place": str(place),
        "amount": amount,
        "client": request.client.host if request.client else None,
        "host": request.headers["host"],
    }


@dataclass
class Order:
    item: str
    count: int


@post("/orders/{number:int}")
async def order(number: int, data: Order) -> dict[str, Any]:
    return {"number": number, "item": data.item, "count": data.count}


async def till() -> AsyncGenerator[str, None]:
    note("till", "opened")
    try:
        yield "till"
    finally:
        note("till", "closed")


async def drawer(till: str) -> str:
    return f"drawer of {till}"


@get("/pay", dependencies={"till": Provide(till), "drawer": Provide(drawer)})
async def pay(drawer: str) -> list[str]:
    note("till", "paid")
    return [drawer]


@get("/thread", sync_to_thread=True)
def thread() -> dict[str, bool]:
    return {"main": threading.current_thread() is threading.main_thread()}


@get("/visits", media_type=MediaType.TEXT)
async def visits(request: AnyRequest) -> Response[str]:
    count = int(request.cookies.get("visits", "0")) + 1
    cookies = [Cookie(key="visits", value=str(count)), Cookie(key="last", value="visits")]
    return Response(str(count), cookies=cookies)


@post("/body")
async def body(request: AnyRequest) -> dict[str, Any]:
    data = await request.body()
    return {"size": len(data), "digest": hashlib.sha256(data).hexdigest()}


@post("/body/pieces")
async def body_in_pieces(request: AnyRequest) -> dict[str, str]:
    digest = hashlib.sha256()
    async for piece in request.stream():
        digest.update(piece)
    return {"digest": digest.hexdigest()}


@dataclass
class Form:
    note: str
    file: UploadFile


@post("/upload")
async def upload(
    data: Annotated[Form, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, str]:
    digest = hashlib.sha256(await data.file.read()).hexdigest()
    return {"name": data.file.filename, "digest": digest, "note": data.note}


@get("/stream")
async def stream() -> Stream:
    async def lines() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"line {number}\n"
            if number % 100 == 0:
                await asyncio.sleep(0)

    return Stream(lines(), media_type=MediaType.TEXT)


@get("/endless")
async def endless() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"piece"
                await asyncio.sleep(0.005)
        finally:
            note("endless", "closed")

    return Stream(pieces(), media_type="application/octet-stream")


@get("/events")
async def events() -> ServerSentEvent:
    """Send events, each when the one before was let through its door."""

    async def each() -> AsyncIterator[str]:
        for number in range(3):
            door = doors["events"] = asyncio.Event()
            yield str(number)
            await door.wait()

    return ServerSentEvent(each())


@get("/background", media_type=MediaType.TEXT)
async def background() -> Response[str]:
    door = doors["background"] = asyncio.Event()

    async def later(what: str) -> None:
        await door.wait()
        note("background", what)

    return Response("soon", background=BackgroundTask(later, "ran"))


@get("/file")
async def file() -> File:
    return File(path=Path(__file__), filename="shop.py", chunk_size=1000)


@get("/large")
async def large() -> dict[str, str]:
    return {"text": "large " * 10000}


@get("/refused")
async def refused() -> None:
    raise HTTPException(status_code=418, detail="no tea", headers={"x-why": "teapot"})


@get("/broken")
async def broken() -> None:
    raise LookupError("no such shelf")


async def stamp(response: Response[Any]) -> Response[Any]:
    response.headers["x-stamp"] = "stamped"
    return response


app = Litestar(
    [
        *(notes, open_door, shop, order, pay, thread, visits),
        *(body, body_in_pieces, upload),
        *(stream, endless, events, background, file, large, refused, broken),
    ],
    lifespan=[lifespan],
    after_request=stamp,
    logging_config=LoggingConfig(log_exceptions="always"),
    compression_config=CompressionConfig(backend="gzip", minimum_size=1000, exclude="/file"),
)
