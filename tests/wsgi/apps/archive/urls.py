"""Views of the archive, and the admin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from django.contrib import admin
from django.db import connection, transaction
from django.db.models import F
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.csrf import csrf_exempt, ensure_csrf_cookie
from django.views.decorators.http import require_POST

from .models import Book, Shelf


def shelves(request: HttpRequest) -> JsonResponse:
    """List shelves with their books."""
    rows = Shelf.objects.prefetch_related("books").order_by("name")
    listed = [
        {"name": each.name, "visits": each.visits, "books": [str(b) for b in each.books.all()]}
        for each in rows
    ]
    return JsonResponse({"vendor": connection.vendor, "shelves": listed})


@csrf_exempt
@require_POST
def visit(request: HttpRequest, name: str) -> JsonResponse:
    """Count a visit to a shelf, which the first one makes."""
    with transaction.atomic():
        shelf, _ = Shelf.objects.get_or_create(name=name)
        Shelf.objects.filter(pk=shelf.pk).update(visits=F("visits") + 1)
    shelf.refresh_from_db()
    return JsonResponse({"visits": shelf.visits})


@csrf_exempt
@require_POST
def break_off(request: HttpRequest, name: str) -> HttpResponse:
    """Make a shelf, and fail before that is kept."""
    with transaction.atomic():
        Shelf.objects.create(name=name)
        raise LookupError("no such shelf")


@csrf_exempt
@require_POST
def body(request: HttpRequest) -> JsonResponse:
    """Tell the size of the body, of which Django reads as much as CONTENT_LENGTH says."""
    return JsonResponse({"size": len(request.body)})


@ensure_csrf_cookie
def form(request: HttpRequest) -> HttpResponse:
    """Give out the cookie that forms need."""
    return HttpResponse("form")


@require_POST
def upload(request: HttpRequest) -> JsonResponse:
    """Keep an uploaded scan as a book."""
    shelf, _ = Shelf.objects.get_or_create(name=request.POST["shelf"])
    book = Book.objects.create(title=request.POST["title"], shelf=shelf, scan=request.FILES["scan"])
    digest = hashlib.sha256()
    with book.scan.open("rb") as kept:
        for piece in kept.chunks():
            digest.update(piece)
    return JsonResponse({"id": book.pk, "size": book.scan.size, "sha256": digest.hexdigest()})


def scan(request: HttpRequest, number: int) -> FileResponse:
    """Send a scan, by the server's file wrapper if it has one."""
    return FileResponse(get_object_or_404(Book, pk=number).scan.open("rb"), as_attachment=True)


def export(request: HttpRequest) -> StreamingHttpResponse:
    """Stream the shelves, while the rows are read."""

    def lines() -> Iterator[str]:
        for shelf in Shelf.objects.order_by("name").iterator(chunk_size=10):
            yield f"{shelf.name}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("shelves", shelves),
    path("visit/<name>", visit),
    path("break/<name>", break_off),
    path("body", body),
    path("form", form),
    path("upload", upload),
    path("scan/<int:number>", scan),
    path("export", export),
]
