"""FastAPI routes that answer with a small JSON document: on the event loop, and in a thread."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Item(BaseModel):
    """What both routes answer with."""

    id: int
    name: str


@app.get("/items/{number}")
async def item(number: int, q: str = "") -> Item:
    """Answer on the event loop."""
    return Item(id=number, name=q)


@app.get("/threaded/{number}")
def threaded(number: int, q: str = "") -> Item:
    """Answer in a thread of anyio's pool, as every plain function does."""
    return Item(id=number, name=q)
