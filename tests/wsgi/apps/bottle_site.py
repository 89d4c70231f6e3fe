"""A Bottle application: routes, forms, uploads, a generator, static files, errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bottle

app = bottle.Bottle()


@app.get("/hello/<name>")
def hello(name: str) -> Any:
    bottle.response.set_header("X-Name", "bottle")
    return {"hello": name, "query": bottle.request.query.q}


@app.get("/count")
def count() -> Any:
    number = int(bottle.request.get_cookie("count", secret="of a test") or 0) + 1
    bottle.response.set_cookie("count", str(number), secret="of a test")
    return str(number)


@app.post("/upload")
def upload() -> Any:
    file = bottle.request.files.get("file")
    data = file.file.read()
    return {"name": file.raw_filename, "size": len(data), "note": bottle.request.forms.note}


@app.post("/body")
def body() -> Any:
    return {"size": sum(len(line) for line in bottle.request.body)}


@app.get("/lines")
def lines() -> Iterator[str]:
    bottle.response.content_type = "text/plain"
    for number in range(300):
        yield f"line {number}\n"


@app.get("/static/<path:path>")
def static(path: str) -> Any:
    return bottle.static_file(path, root=bottle.request.query.root)


@app.get("/broken")
def broken() -> Any:
    raise LookupError("no such shelf")


@app.error(404)
def missing(error: Any) -> Any:
    return "nothing here"
