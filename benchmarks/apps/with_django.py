"""A Django project in one file, without a database: a view answers with a small JSON document."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    # Of those that a new project has, the one without which an answer has no content-length.
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)


def item(request: HttpRequest, number: int) -> JsonResponse:
    """Answer with what the path says."""
    return JsonResponse({"id": number, "name": "item"})


urlpatterns = [path("items/<int:number>", item)]
app = get_wsgi_application()
