"""Shelves and their books."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


def key() -> models.BigAutoField:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    initial = True

    dependencies = ()

    operations = (
        migrations.CreateModel(
            name="Shelf",
            fields=[
                ("id", key()),
                ("name", models.CharField(max_length=100, unique=True)),
                ("visits", models.IntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Book",
            fields=[
                ("id", key()),
                ("title", models.CharField(max_length=200)),
                ("scan", models.FileField(blank=True, upload_to="scans")),
                (
                    "shelf",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="books",
                        to="archive.shelf",
                    ),
                ),
            ],
        ),
    )
