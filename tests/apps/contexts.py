"""An application whose lifespan and requests set context variables."""

from __future__ import annotations

import asyncio
import contextvars

from tests.apps.board import Receive, Routes, Scope, Send, note, passed, respond, respond_json

routes = Routes()

lifespan_var: contextvars.ContextVar[str] = contextvars.ContextVar("lifespan", default="unset")
request_var: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="unset")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Set a variable at the start of the lifespan, and serve."""
    if scope["type"] == "lifespan":
        lifespan_var.set("from the lifespan")
        scope["state"]["count"] = 0
        scope["state"]["shared"] = []
    await routes.app(scope, receive, send)


def _values() -> list[str]:
    return [lifespan_var.get(), request_var.get()]


@routes
async def show(scope: Scope, receive: Receive, send: Send) -> None:
    """Show both variables, then set them."""
    values = _values()
    request_var.set(scope["path"])
    lifespan_var.set(scope["path"])
    await respond_json(send, values)


@routes
async def show_after_wait(scope: Scope, receive: Receive, send: Send) -> None:
    """Set the request's variable, wait for others to do so, and show it."""
    request_var.set(scope["path"])
    note("set")
    await passed("show")
    await respond_json(send, _values())


@routes
async def show_in_children(scope: Scope, receive: Receive, send: Send) -> None:
    """Show what a task, a callback and a thread of the request see."""
    request_var.set("mine")
    loop = asyncio.get_running_loop()
    called: asyncio.Future[list[str]] = loop.create_future()

    async def child() -> list[str]:
        request_var.set("the child's")
        return _values()

    loop.call_soon(lambda: called.set_result(_values()))
    seen = [await loop.create_task(child()), await called, await asyncio.to_thread(_values)]
    await respond_json(send, [*seen, _values()])


@routes
async def show_while_receiving(scope: Scope, receive: Receive, send: Send) -> None:
    """Show that variables survive waits in receive and send."""
    request_var.set("kept")
    seen = []
    more = True
    while more:
        more = (await receive())["more_body"]
        seen.append(request_var.get())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    seen.append(request_var.get())
    await send({"type": "http.response.body", "body": repr(set(seen)).encode()})


@routes
async def state(scope: Scope, receive: Receive, send: Send) -> None:
    """Show the state, then change it in both ways."""
    seen = [scope["state"]["count"], list(scope["state"]["shared"])]
    scope["state"]["count"] += 1
    scope["state"]["shared"].append(scope["path"])
    await respond_json(send, seen)


@routes
async def task(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what runs the request, and whether it is one of the loop's when it has waited."""
    current = asyncio.current_task()
    await asyncio.sleep(0)
    assert current is asyncio.current_task()
    await respond(send, f"{isinstance(current, asyncio.Task)} {current in asyncio.all_tasks()}")
