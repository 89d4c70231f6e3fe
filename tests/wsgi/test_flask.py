"""Flask behind the server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server
from tests.wsgi.conftest import Serve


@pytest.fixture
def site(served: Serve) -> Server:
    return served("tests.wsgi.apps.flask_site:app")


@pytest.fixture
def client(site: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(site)


def data_of(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def test_a_view_knows_its_request(site: Server, client: httpx.Client) -> None:
    headers = {"user-agent": "tester", "x-who": "ann"}
    response = client.put("/tell/a%20b/é?q=1&q=%20&r=é", headers=headers)
    host = f"127.0.0.1:{site.port}"
    assert response.json() == {
        "method": "PUT",
        "rest": "a b/é",
        "path": "/tell/a b/é",
        "query": {"q": ["1", " "], "r": ["é"]},
        "host": host,
        # As an IRI, where a space stays encoded.
        "url": f"http://{host}/tell/a%20b/é?q=1&q=%20&r=é",
        "client": "127.0.0.1",
        "agent": "tester",
    }
    assert response.headers["x-stamp"] == "ann"
    site.wait_for(r"^NOTE teardown /tell/a b/.+ None$")


def test_routes(client: httpx.Client) -> None:
    assert client.get("/items/12").json() == {"number": 12}
    assert client.get("/items/many").status_code == 404
    response = client.post("/items/12")
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    response = client.get("/empty")
    assert (response.status_code, response.content) == (204, b"")


def test_a_response_has_its_length(client: httpx.Client) -> None:
    response = client.get("/items/12")
    assert response.headers["content-length"] == str(len(response.content))
    head = client.head("/items/12")
    assert head.headers["content-length"] == str(len(response.content))
    assert head.content == b""


def test_a_session_is_kept_in_cookies(
    site: Server, browse: Callable[[Server], httpx.Client]
) -> None:
    ann, bob = browse(site), browse(site)
    assert [each.get("/visits").text for each in (ann, ann, bob, ann, bob)] == [
        "1",
        "2",
        "1",
        "3",
        "2",
    ]


def test_a_login(client: httpx.Client) -> None:
    assert client.get("/me").status_code == 401
    response = client.post("/login", data={"user": "änn"}, follow_redirects=True)
    assert response.json() == {"user": "änn", "cookies": ["lang", "session", "theme"]}
    (redirect,) = response.history
    assert redirect.status_code == 302
    assert len(redirect.headers.get_list("set-cookie")) == 3


@pytest.mark.parametrize("size", [0, 10, 600_000, 3_000_000])
def test_a_file_is_uploaded(client: httpx.Client, size: int) -> None:
    data = data_of(size)
    response = client.post("/upload", data={"note": "hï"}, files={"file": ("a.bin", data)})
    assert response.json() == {
        "name": "a.bin",
        "size": size,
        "digest": hashlib.sha256(data).hexdigest(),
        "note": "hï",
    }


def test_a_body_is_read(client: httpx.Client) -> None:
    assert client.post("/body", content=bytes(1_000_000)).json() == {"size": 1_000_000}
    # In chunks: `wsgi.input_terminated` has Werkzeug read to the end.
    pieces = (bytes(1000) for _ in range(1000))
    assert client.post("/body", content=pieces).json() == {"size": 1_000_000}
    assert client.post("/body").json() == {"size": 0}


def test_a_body_may_be_too_large(site: Server) -> None:
    with site.connect() as client:
        client.request("POST", "/body", body=bytes(10_000_001))
        assert client.response().status == 413


def test_json(client: httpx.Client) -> None:
    value = {"name": "é", "list": [1, None, {"deep": True}]}
    assert client.post("/json", json=value).json() == value
    assert client.post("/json", content=b"{", headers={"content-type": "application/json"}).is_error


def test_a_stream_arrives_whole(client: httpx.Client) -> None:
    response = client.get("/stream?name=line")
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.text.splitlines() == [f"line {number}" for number in range(300)]


def test_an_event_arrives_before_the_next_is_made(client: httpx.Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with client.stream("GET", "/live", params={"gate": str(gate)}) as response:
        events = response.iter_lines()
        assert next(events) == "data: first"
        gate.touch()
        assert [line for line in events if line] == ["data: second"]


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_a_file_is_sent(client: httpx.Client, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(data_of(size))
    response = client.get("/file", params={"path": str(path)})
    assert response.content == data_of(size)
    assert response.headers["content-length"] == str(size)
    again = client.get(
        "/file", params={"path": str(path)}, headers={"if-none-match": response.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_a_part_of_a_file_is_sent(client: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data_of(100_000))
    response = client.get(
        "/file", params={"path": str(path)}, headers={"range": "bytes=50000-50999"}
    )
    assert response.status_code == 206
    assert response.headers["content-range"] == "bytes 50000-50999/100000"
    assert response.content == data_of(100_000)[50_000:51_000]
    assert client.head("/file", params={"path": str(path)}).headers["content-length"] == "100000"


def test_a_download_has_a_name(client: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    disposition = client.get("/download", params={"path": str(path)}).headers["content-disposition"]
    assert disposition.startswith("attachment; filename=naive.bin; filename*=UTF-8''na")


def test_errors_have_handlers(client: httpx.Client) -> None:
    response = client.get("/nowhere")
    assert (response.status_code, response.json()) == (404, {"missing": "/nowhere"})
    response = client.get("/handled")
    assert (response.status_code, response.json()) == (409, {"handled": "no such shelf"})


def test_an_error_is_500_and_in_the_log(site: Server, client: httpx.Client) -> None:
    assert client.get("/broken").status_code == 500
    site.wait_for("LookupError: no such shelf")
    assert client.get("/items/1").status_code == 200


def test_an_error_within_a_stream_cuts_it(site: Server, client: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/broken/stream")
    site.wait_for("LookupError: no such line")
    assert client.get("/items/1").status_code == 200


def test_many_at_once_do_not_mix(client: httpx.Client) -> None:
    def ask(number: int) -> bool:
        if number % 3 == 0:
            text = client.get(f"/stream?name={number}").text
            return text == "".join(f"{number} {line}\n" for line in range(300))
        if number % 3 == 1:
            data = b"%d" % number * 20_000
            files = {"file": (f"{number}", data)}
            got = client.post("/upload", data={"note": str(number)}, files=files).json()
            return (got["name"], got["note"], got["digest"]) == (
                str(number),
                str(number),
                hashlib.sha256(data).hexdigest(),
            )
        response = client.get(f"/items/{number}", headers={"x-who": str(number)})
        return (response.json(), response.headers["x-stamp"]) == ({"number": number}, str(number))

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(120)))
