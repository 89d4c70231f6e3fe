"""A FastAPI application that uses what FastAPI applications use.

Owns one route for each feature whose behaviour depends on the server below: threads for plain
functions, dependencies that clean up, tasks after the response, streams, files, uploads, events,
and a stack of middleware, among it the one of Starlette that wraps `receive` and `send`.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Form, HTTPException, Request, UploadFile
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse
from starlette.middleware.base import BaseHTTPMiddleware

journal: list[str] = []
customer: contextvars.ContextVar[str] = contextvars.ContextVar("customer", default="nobody")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as directory:
        picture = Path(directory) / "picture.bin"
        picture.write_bytes(bytes(range(256)) * 1024)
        yield {"shop": "open", "picture": str(picture)}


app = FastAPI(lifespan=lifespan)


async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    customer.set(request.headers.get("x-customer", "nobody"))
    response = await call_next(request)
    response.headers["x-stamp"] = request.url.path
    return response


app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)
app.add_middleware(GZipMiddleware, minimum_size=1000)
app.add_middleware(CORSMiddleware, allow_origins=["https://shop.test"], allow_methods=["*"])


class Order(BaseModel):
    item: str = Field(min_length=2)
    count: int = Field(gt=0)


@app.get("/state")
async def state(request: Request) -> dict[str, str]:
    return {"shop": request.state.shop}


@app.get("/thread")
def in_a_thread() -> dict[str, bool]:
    return {"main": threading.current_thread() is threading.main_thread()}


@app.get("/customer")
async def who() -> str:
    await asyncio.sleep(0)
    return customer.get()


@app.get("/customer/thread")
def who_in_a_thread() -> str:
    return customer.get()


@app.get("/visits")
async def visits(request: Request, response: Response) -> dict[str, str]:
    count = int(request.cookies.get("visits", "0")) + 1
    response.set_cookie("visits", str(count), httponly=True, samesite="strict")
    response.set_cookie("last", "visits", max_age=3600)
    return request.cookies


@app.post("/orders/{number}")
async def order(number: int, order: Order, express: bool = False) -> dict[str, object]:
    return {"number": number, "express": express, **order.model_dump()}


@app.get("/refused")
async def refused() -> None:
    raise HTTPException(status_code=418, detail="no tea", headers={"x-why": "teapot"})


@app.get("/broken")
async def broken() -> None:
    raise LookupError("this shelf is empty")


@app.get("/broken/thread")
def broken_in_a_thread() -> None:
    raise LookupError("this drawer is empty")


@app.post("/login")
async def login(user: Annotated[str, Form()]) -> dict[str, str]:
    return {"user": user}


@app.post("/upload")
async def upload(file: UploadFile, note: Annotated[str, Form()]) -> dict[str, object]:
    data = await file.read()
    return {"name": file.filename, "size": len(data), "sum": sum(data), "note": note}


@app.post("/upload/raw")
async def upload_raw(request: Request) -> dict[str, int]:
    sizes = [len(piece) async for piece in request.stream()]
    return {"size": sum(sizes), "largest": max(sizes)}


@app.get("/file")
async def file(request: Request) -> FileResponse:
    return FileResponse(request.state.picture, filename="picture.bin")


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"line {number}\n"
            if number % 100 == 0:
                await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/stream/thread")
def stream_from_a_thread() -> StreamingResponse:
    def lines() -> Iterator[bytes]:
        for number in range(100):
            yield b"line %d\n" % number

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/stream/broken")
async def stream_broken() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "good\n"
        await asyncio.sleep(0.01)
        raise LookupError("this stream is dry")

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/stream/endless")
async def stream_endless() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"on and on\n"
                await asyncio.sleep(0.005)
        finally:
            journal.append("stream closed")

    return StreamingResponse(lines())


@app.get("/events")
async def events(count: int = 3) -> EventSourceResponse:
    async def each() -> AsyncIterator[dict[str, str]]:
        for number in range(count):
            yield {"event": "tick", "data": str(number)}
            await asyncio.sleep(0)

    return EventSourceResponse(each())


@app.get("/events/endless")
async def events_endless(request: Request) -> EventSourceResponse:
    async def each() -> AsyncIterator[dict[str, str]]:
        try:
            number = 0
            while True:
                yield {"data": str(number)}
                number += 1
                await asyncio.sleep(0.005)
        finally:
            journal.append("events closed")

    return EventSourceResponse(each())


async def till() -> AsyncIterator[str]:
    journal.append("till opened")
    try:
        yield "till"
    finally:
        journal.append("till closed")


def drawer(till: Annotated[str, Depends(till)]) -> Iterator[str]:
    journal.append("drawer opened")
    try:
        yield f"drawer of {till}"
    finally:
        journal.append("drawer closed")


@app.get("/pay")
async def pay(drawer: Annotated[str, Depends(drawer)]) -> str:
    journal.append("paid")
    return drawer


@app.get("/tasks")
async def tasks(background: BackgroundTasks) -> str:
    async def later() -> None:
        await asyncio.sleep(0.01)
        journal.append("later")

    def in_a_thread() -> None:
        journal.append("in a thread")

    background.add_task(later)
    background.add_task(in_a_thread)
    journal.append("answered")
    return "soon"


@app.get("/journal", response_class=PlainTextResponse)
async def read_journal(until: str | None = None) -> str:
    """Show what happened since the last look, waiting for an entry if one is named."""
    while until is not None and until not in journal:
        # A stream that is cancelled while its middleware holds a piece is closed by the collector.
        gc.collect()
        await asyncio.sleep(0.005)
    text = "\n".join(journal)
    journal.clear()
    return text


@app.get("/large")
async def large() -> dict[str, str]:
    return {"text": "large " * 10000}
