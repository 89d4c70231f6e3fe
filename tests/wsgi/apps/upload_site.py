"""A Flask site that takes uploads of any size, as a stream and as a file of a form."""

from __future__ import annotations

import hashlib
from typing import IO, Any

from flask import Flask, request

app = Flask(__name__)


def _told(stream: IO[bytes], **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0
    while piece := stream.read(65_536):
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest(), **more}


@app.get("/")
def index() -> Any:
    return "ok"


@app.post("/stream")
def stream() -> Any:
    return _told(request.stream)


@app.post("/form")
def form() -> Any:
    file = request.files["file"]
    return _told(file.stream, name=file.filename, note=request.form["note"])
