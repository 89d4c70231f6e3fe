"""What the archive has."""

from __future__ import annotations

from django.db import models


class Shelf(models.Model):
    name = models.CharField(max_length=100, unique=True)
    visits = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    title = models.CharField(max_length=200)
    shelf = models.ForeignKey(Shelf, on_delete=models.CASCADE, related_name="books")
    scan = models.FileField(upload_to="scans", blank=True)

    def __str__(self) -> str:
        return self.title
