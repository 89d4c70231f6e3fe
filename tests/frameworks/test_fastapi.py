"""FastAPI as its users run it: validation, threads, dependencies, uploads, streams and events."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest
from tests.frameworks.conftest import Serve
from tests.support.server import Server

PICTURE = bytes(range(256)) * 1024


@pytest.fixture
def shop(serve: Serve) -> Server:
    return serve("fastapi_shop")


@pytest.fixture
def client(shop: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(shop)


def journal(client: httpx.Client, until: str | None = None) -> list[str]:
    """What happened in the application since the last look."""
    parameters = {} if until is None else {"until": until}
    return client.get("/journal", params=parameters).text.splitlines()


def test_the_documentation_is_served(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "/openapi.json" in page.text
    assert "/orders/{number}" in client.get("/openapi.json").json()["paths"]


def test_a_request_is_validated(client: httpx.Client) -> None:
    order = {"item": "nail", "count": 3}
    assert client.post("/orders/7?express=yes", json=order).json() == {
        "number": 7,
        "express": True,
        **order,
    }
    response = client.post("/orders/seven", json={"item": "n", "count": 0})
    assert response.status_code == 422
    assert {tuple(each["loc"]) for each in response.json()["detail"]} == {
        ("path", "number"),
        ("body", "item"),
        ("body", "count"),
    }


def test_what_is_refused_says_why(client: httpx.Client) -> None:
    response = client.get("/refused")
    assert response.status_code == 418
    assert response.headers["x-why"] == "teapot"
    assert response.json() == {"detail": "no tea"}
    assert client.delete("/refused").status_code == 405
    assert client.get("/nowhere").status_code == 404


def test_the_lifespans_state_is_in_each_request(client: httpx.Client) -> None:
    for _ in range(3):
        assert client.get("/state").json() == {"shop": "open"}


def test_a_plain_function_runs_in_a_thread(client: httpx.Client) -> None:
    assert client.get("/thread").json() == {"main": False}


def test_context_variables_belong_to_one_request(client: httpx.Client) -> None:
    for path in ("/customer", "/customer/thread"):
        assert client.get(path, headers={"x-customer": "ann"}).json() == "ann"
        assert client.get(path).json() == "nobody"


def test_many_at_once_do_not_mix(client: httpx.Client) -> None:
    def ask(number: int) -> bool:
        path = "/customer/thread" if number % 2 else "/customer"
        return client.get(path, headers={"x-customer": str(number)}).json() == str(number)

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(300)))


def test_forms_and_files_are_uploaded(client: httpx.Client) -> None:
    assert client.post("/login", data={"user": "änn"}).json() == {"user": "änn"}
    files = {"file": ("picture.bin", PICTURE)}
    assert client.post("/upload", data={"note": "hi"}, files=files).json() == {
        "name": "picture.bin",
        "size": len(PICTURE),
        "sum": sum(PICTURE),
        "note": "hi",
    }


def test_a_raw_body_is_read_in_pieces(client: httpx.Client) -> None:
    result = client.post("/upload/raw", content=bytes(5_000_000)).json()
    assert result["size"] == 5_000_000
    assert result["largest"] <= 1_000_000


def test_a_file_is_sent_whole_and_in_ranges(client: httpx.Client) -> None:
    response = client.get("/file", headers={"accept-encoding": "identity"})
    assert response.content == PICTURE
    assert response.headers["content-length"] == str(len(PICTURE))
    assert response.headers["content-disposition"] == 'attachment; filename="picture.bin"'
    part = client.get("/file", headers={"range": "bytes=1000-1999", "accept-encoding": "identity"})
    assert part.status_code == 206
    assert part.content == PICTURE[1000:2000]
    assert client.get("/file", headers={"range": "bytes=999999-"}).status_code == 416


def test_large_answers_are_compressed(client: httpx.Client) -> None:
    with client.stream("GET", "/large", headers={"accept-encoding": "gzip"}) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw)) == {"text": "large " * 10000}


def test_other_origins_are_told_what_they_may(client: httpx.Client) -> None:
    asked = {"origin": "https://shop.test", "access-control-request-method": "PUT"}
    response = client.options("/orders/1", headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://shop.test"
    assert "PUT" in response.headers["access-control-allow-methods"]
    response = client.get("/state", headers={"origin": "https://shop.test"})
    assert response.headers["access-control-allow-origin"] == "https://shop.test"
    assert response.headers["x-stamp"] == "/state"


def test_streams_arrive_whole(client: httpx.Client) -> None:
    wanted = [f"line {number}" for number in range(1000)]
    assert client.get("/stream").text.splitlines() == wanted
    identity = {"accept-encoding": "identity"}
    assert client.get("/stream", headers=identity).text.splitlines() == wanted
    assert client.get("/stream/thread").text.splitlines() == wanted[:100]


def test_a_stream_that_breaks_is_in_the_log(shop: Server, client: httpx.Client) -> None:
    # A cut connection is the better answer, and the middleware's to prevent.
    with suppress(httpx.RemoteProtocolError):
        response = client.get("/stream/broken", headers={"accept-encoding": "identity"})
        assert response.text == "good\n"
    shop.wait_for("LookupError: this stream is dry")
    assert client.get("/state").status_code == 200


@pytest.mark.parametrize("path", ["/stream/endless", "/events/endless"])
def test_a_stream_ends_when_its_client_leaves(
    shop: Server, client: httpx.Client, path: str
) -> None:
    journal(client)
    with shop.connect() as leaving:
        leaving.request("GET", path)
        assert leaving.head().status == 200
        assert leaving.read_chunk()
    closed = "stream closed" if path.startswith("/stream") else "events closed"
    assert journal(client, until=closed)


def test_events_are_events(client: httpx.Client) -> None:
    with client.stream("GET", "/events?count=3") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line]
    assert lines == [
        *("event: tick", "data: 0"),
        *("event: tick", "data: 1"),
        *("event: tick", "data: 2"),
    ]


def test_dependencies_are_opened_and_closed_in_order(client: httpx.Client) -> None:
    journal(client)
    assert client.get("/pay").json() == "drawer of till"
    assert journal(client, until="till closed") == [
        "till opened",
        "drawer opened",
        "paid",
        "drawer closed",
        "till closed",
    ]


def test_background_tasks_run_after_the_answer(client: httpx.Client) -> None:
    journal(client)
    assert client.get("/tasks").json() == "soon"
    assert journal(client, until="in a thread") == ["answered", "later", "in a thread"]


@pytest.mark.parametrize(
    ("path", "why"),
    [("/broken", "this shelf is empty"), ("/broken/thread", "this drawer is empty")],
)
def test_an_error_is_500_and_in_the_log(
    shop: Server, client: httpx.Client, path: str, why: str
) -> None:
    response = client.get(path)
    assert response.status_code == 500
    assert response.text == "Internal Server Error"
    shop.wait_for("Exception in ASGI application")
    shop.wait_for(f"LookupError: {why}")
    assert client.get("/state").status_code == 200


def test_pipelined_requests_are_answered_in_order(shop: Server) -> None:
    with shop.connect() as client:
        for number in range(50):
            path = "/thread" if number % 3 == 0 else "/customer"
            client.request("GET", path, ("x-customer", str(number)))
        answers = [client.response().json() for _ in range(50)]
    assert answers == [{"main": False} if number % 3 == 0 else str(number) for number in range(50)]
