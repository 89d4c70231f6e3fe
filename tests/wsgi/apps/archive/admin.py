"""The models in Django's admin."""

from __future__ import annotations

from django.contrib import admin

from .models import Book, Shelf

admin.site.register([Shelf, Book])
