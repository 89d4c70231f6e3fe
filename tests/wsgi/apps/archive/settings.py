"""Settings of a site behind a WSGI server.

LIBRARY_DATABASE is the folder of PostgreSQL's socket, or the path of a file of SQLite.
"""

from __future__ import annotations

import os
from pathlib import Path

NAME = __name__.rpartition(".")[0]

SECRET_KEY = "of a test"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "test"]
ROOT_URLCONF = f"{NAME}.urls"
WSGI_APPLICATION = f"{NAME}.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "static/"
MEDIA_ROOT = os.environ["LIBRARY_MEDIA"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 100_000

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    NAME,
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

_DATABASE = Path(os.environ["LIBRARY_DATABASE"])

if _DATABASE.is_dir():
    _default: dict[str, object] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": str(_DATABASE),
        "NAME": "postgres",
        "USER": "archive",
        # Connections stay with their threads.
        "CONN_MAX_AGE": None,
    }
else:
    _default = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _DATABASE,
        # Writers wait for each other rather than fail, and nothing is written for sure.
        "OPTIONS": {
            "timeout": 60,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA synchronous=OFF; PRAGMA journal_mode=WAL;",
        },
    }

DATABASES = {"default": _default}

# Errors are to be seen where the server writes its own.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
}
