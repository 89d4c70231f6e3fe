"""A Django project in one file, as ASGI: views of both kinds, streams, uploads, sessions, files."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "test"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    MIDDLEWARE=[
        "django.middleware.gzip.GZipMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        f"{__name__}.stamp",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATA_UPLOAD_MAX_MEMORY_SIZE=10_000_000,
    FILE_UPLOAD_MAX_MEMORY_SIZE=100_000,
)
django.setup()

closed: list[str] = []


def stamp(get_response):  # type: ignore[no-untyped-def]
    def middleware(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        response["x-stamp"] = request.path
        return response

    return middleware


def plain(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "query": request.GET.dict(),
            "host": request.get_host(),
            "agent": request.headers.get("user-agent"),
            "client": request.META["REMOTE_ADDR"],
            "main": threading.current_thread() is threading.main_thread(),
        }
    )


async def coroutine(request: HttpRequest) -> JsonResponse:
    await asyncio.sleep(0.001)
    return JsonResponse({"main": threading.current_thread() is threading.main_thread()})


def visits(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(request.session["visits"])


@csrf_exempt
def upload(request: HttpRequest) -> JsonResponse:
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    return JsonResponse(
        {"size": file.size, "digest": digest.hexdigest(), "note": request.POST["note"]}
    )


@csrf_exempt
async def body(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"size": len(request.body)})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(200):
            yield f"line {number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(lines(), content_type="text/plain")


def stream_plain(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        for number in range(200):
            yield f"line {number}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"piece"
                await asyncio.sleep(0.005)
        finally:
            closed.append("stream")

    return StreamingHttpResponse(pieces())


async def patient(request: HttpRequest) -> HttpResponse:
    """Work until Django cancels the view, which it does when the client leaves."""
    closed.append("begun")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        closed.append("view")
        raise
    return HttpResponse("nobody waits that long")


async def wait_closed(request: HttpRequest, what: str) -> HttpResponse:
    while what not in closed:
        await asyncio.sleep(0.005)
    closed.remove(what)
    return HttpResponse(what)


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(Path(__file__).open("rb"))


def broken(request: HttpRequest) -> HttpResponse:
    raise LookupError("no such shelf")


urlpatterns = [
    path("plain/<path:rest>", lambda request, rest: plain(request)),
    path("coroutine", coroutine),
    path("visits", visits),
    path("upload", upload),
    path("body", body),
    path("stream", stream),
    path("stream/plain", stream_plain),
    path("endless", endless),
    path("patient", patient),
    path("closed/<what>", wait_closed),
    path("file", file),
    path("broken", broken),
]

app = get_asgi_application()
