"""A Starlette route that answers with a small JSON document."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def item(request: Request) -> JSONResponse:
    """Answer with what the path says."""
    return JSONResponse({"id": request.path_params["id"], "name": "item"})


app = Starlette(routes=[Route("/items/{id:int}", item)])
