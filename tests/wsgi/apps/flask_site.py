"""A Flask site: routes, sessions, uploads, streams, files, error handlers, hooks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
from flask import Flask, abort, g, jsonify, redirect, request, session, stream_with_context

app = Flask(__name__)
app.secret_key = "of a test"
app.config["MAX_CONTENT_LENGTH"] = 10_000_000


class ShelfError(Exception):
    """Has a handler of its own."""


@app.before_request
def begin() -> None:
    g.seen = request.headers.get("x-who", "nobody")


@app.after_request
def stamp(response: flask.Response) -> flask.Response:
    response.headers["X-Stamp"] = g.seen
    return response


@app.teardown_request
def end(error: BaseException | None) -> None:
    print(f"NOTE teardown {request.path} {error!r}", flush=True)


@app.errorhandler(404)
def missing(error: Any) -> Any:
    return {"missing": request.path}, 404


@app.errorhandler(ShelfError)
def no_shelf(error: ShelfError) -> Any:
    return {"handled": str(error)}, 409


@app.route("/tell/<path:rest>", methods=["GET", "PUT", "DELETE"])
def tell(rest: str) -> Any:
    return jsonify(
        method=request.method,
        rest=rest,
        path=request.path,
        query=request.args.to_dict(flat=False),
        host=request.host,
        url=request.url,
        client=request.remote_addr,
        agent=request.headers.get("user-agent"),
    )


@app.get("/items/<int:number>")
def item(number: int) -> Any:
    return {"number": number}


@app.get("/visits")
def visits() -> Any:
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


@app.post("/login")
def login() -> Any:
    session["user"] = request.form["user"]
    response = redirect(flask.url_for("me"))
    response.set_cookie("theme", "dark", samesite="Lax")
    response.set_cookie("lang", "ø")
    return response


@app.get("/me")
def me() -> Any:
    if "user" not in session:
        abort(401)
    return {"user": session["user"], "cookies": sorted(request.cookies)}


@app.post("/upload")
def upload() -> Any:
    file = request.files["file"]
    digest = hashlib.sha256()
    size = 0
    while piece := file.stream.read(65_536):
        digest.update(piece)
        size += len(piece)
    return {
        "name": file.filename,
        "size": size,
        "digest": digest.hexdigest(),
        "note": request.form["note"],
    }


@app.post("/body")
def body() -> Any:
    return {"size": len(request.get_data())}


@app.post("/json")
def echo_json() -> Any:
    return jsonify(request.get_json())


@app.get("/stream")
def stream() -> Any:
    def lines() -> Iterator[str]:
        for number in range(300):
            yield f"{request.args['name']} {number}\n"

    return stream_with_context(lines()), {"Content-Type": "text/plain"}


@app.get("/live")
def live() -> Any:
    """Stream an event, and the other when the file that the query names is there."""

    def events() -> Iterator[str]:
        yield "data: first\n\n"
        until = time.monotonic() + 60
        while not Path(request.args["gate"]).exists():
            assert time.monotonic() < until
            time.sleep(0.002)
        yield "data: second\n\n"

    return stream_with_context(events()), {"Content-Type": "text/event-stream"}


@app.get("/file")
def file() -> Any:
    return flask.send_file(request.args["path"], mimetype="application/octet-stream")


@app.get("/download")
def download() -> Any:
    return flask.send_file(request.args["path"], as_attachment=True, download_name="naïve.bin")


@app.get("/handled")
def handled() -> Any:
    raise ShelfError("no such shelf")


@app.get("/broken")
def broken() -> Any:
    raise LookupError("no such shelf")


@app.get("/broken/stream")
def broken_stream() -> Any:
    def lines() -> Iterator[str]:
        yield "one\n"
        raise LookupError("no such line")

    return lines(), {"Content-Type": "text/plain"}


@app.get("/empty")
def empty() -> Any:
    return "", 204
