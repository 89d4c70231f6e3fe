"""Applications that would send what no client may see (B57, B58).

What has not been sent yet is withheld, and the client gets 500; what has begun is cut, so that no
client takes a part for the whole and none finds the rest of one response in front of the next.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote_plus

import pytest
from tests.apps.hostile import SAYINGS
from tests.conftest import DRIVERS
from tests.support.client import Client, CutError
from tests.support.server import Server

WITHHELD = [
    "lf in a value",
    "crlf in a value",
    "cr in a value",
    "nul in a value",
    "escape in a value",
    "crlf in a name",
    "space in a name",
    "colon in a name",
    "empty name",
    "length that is no number",
    "two lengths",
    "status below 100",
    "status above 999",
    "interim status",
]


@pytest.fixture(params=DRIVERS)
def trusting(request: pytest.FixtureRequest, shared_server: Callable[..., Server]) -> Server:
    return shared_server("tests.apps.hostile:app", driver=request.param)


def ask(client: Client, name: str) -> None:
    client.request("GET", "/say?" + quote_plus(name))


def test_every_saying_is_looked_at() -> None:
    assert set(SAYINGS) == {*WITHHELD, *CUT, *STRIPPED, "length and chunked"}


@pytest.mark.parametrize("name", WITHHELD)
def test_a_head_that_may_not_be_sent_is_500(trusting: Server, name: str) -> None:
    before = len(trusting.notes(name, 0))
    with trusting.connect() as client:
        ask(client, name)
        response = client.response()
        assert response.status == 500
        assert response.text == "Internal Server Error"
        assert "set-cookie" not in response
        assert "x-a" not in response
        assert "x-b" not in response
    assert trusting.notes(name, before + 1)[-1] != "sent"
    trusting.wait_for("Exception in ASGI application")


CUT = ["body too short", "body too long", "second body too long"]


@pytest.mark.parametrize("name", CUT)
def test_a_body_of_another_length_never_reaches_the_next_response(
    trusting: Server, name: str
) -> None:
    """What the client gets is a prefix of what was announced, then the end: nothing follows it."""
    before = len(trusting.notes(name, 0))
    with trusting.connect() as client:
        ask(client, name)
        client.request("GET", "/number?next")
        data = client.rest()
    head, _, body = data.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 500 "):
        # Nothing of the response had been sent, so that it could be taken back.
        assert body == b"Internal Server Error"
    else:
        assert head.startswith(b"HTTP/1.1 200 ")
        announced = next(m for m in SAYINGS[name] if "headers" in m)["headers"][0][1]
        assert len(body) <= int(announced)
        assert b"okay then".startswith(body) or b"okok".startswith(body)
    if name != "body too short":
        assert trusting.notes(name, before + 1)[-1].startswith("RuntimeError: Response content")
    assert trusting.get().status == 200


def test_a_length_wins_over_chunked(trusting: Server) -> None:
    """Both in one head would be read in two ways; one of them goes."""
    with trusting.connect() as client:
        ask(client, "length and chunked")
        response = client.response()
        if response.status == 200:
            assert ("content-length" in response) != ("transfer-encoding" in response)
            assert response.body == b"ok"
        else:
            assert response.status == 500


STRIPPED = {"body of 204": 204, "body of 304": 304, "length of 204": 204}


@pytest.mark.parametrize("name", STRIPPED)
def test_a_body_that_the_status_forbids_is_not_sent(trusting: Server, name: str) -> None:
    with trusting.connect() as client:
        ask(client, name)
        response = client.response()
        assert response.status == STRIPPED[name]
        assert "transfer-encoding" not in response
        if response.status == 204:
            # RFC 9110 section 8.6: no length with 204.
            assert "content-length" not in response
        try:
            assert client.get("/number?next").text.startswith("next ")
        except CutError:
            assert response["connection"] == "close"


@pytest.mark.parametrize("path", ["/", "/echo", "/number?1", "/missing"])
def test_head_is_get_without_the_body(trusting: Server, path: str) -> None:
    """B76: the same headers, and the connection goes on."""
    with trusting.connect() as client:
        got = client.get(path)
        client.request("HEAD", path)
        head = client.response(to_head=True)
        assert head.status == got.status
        assert dict(head.headers).keys() == dict(got.headers).keys()
        assert head["content-length"] == got["content-length"]
        assert client.get(path).body == got.body


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PROPFIND", "get"])
def test_any_method_is_the_applications(trusting: Server, method: str) -> None:
    """B76: the server answers none by itself, and echoes nothing."""
    with trusting.connect() as client:
        client.request(method, "/", ("x-secret", "s3cret"))
        response = client.response()
        assert response.text == "hello"
