"""A Flask route that answers with a small JSON document."""

from __future__ import annotations

from flask import Flask, request

app = Flask(__name__)


@app.get("/items/<int:number>")
def item(number: int) -> dict[str, int | str]:
    """Answer with what the path and the query say."""
    return {"id": number, "name": request.args.get("q", "")}
