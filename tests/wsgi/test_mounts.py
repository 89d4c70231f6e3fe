"""Several applications under one listener: who gets a request, and what it is told of the path."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import websockets.sync.client
from tests.conftest import StartServer
from tests.support.client import Client
from tests.support.server import Server

ASGI, WSGI = "tests.apps.mounted:app", "tests.apps.mounted:wsgi"
INNER, OTHER = "tests.apps.mounted:inner", "tests.apps.mounted:other_wsgi"


@pytest.fixture(params=["reactor", "protocol"])
def mixed(shared_server: StartServer, request: pytest.FixtureRequest) -> Server:
    """ASGI at the root, WSGI at /w, ASGI below that, WSGI below that again."""
    mounts = [f"/w={WSGI}", f"/w/inner/={INNER}", f"/w/inner/wsgi={OTHER}", f"/caf\u00e9={OTHER}"]
    return shared_server(ASGI, mount=mounts, driver=request.param)


@pytest.fixture
def all_wsgi(shared_server: StartServer) -> Server:
    return shared_server(WSGI, mount=[f"/other={OTHER}"])


def told(
    server: Server, path: str, *headers: tuple[str, str], body: bytes | None = None
) -> dict[str, Any]:
    with server.connect() as client:
        client.request("GET" if body is None else "POST", path, *headers, body=body)
        answer: dict[str, Any] = json.loads(client.response().text)
        return answer


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "root"),
        ("/w", "wsgi"),
        ("/w/", "wsgi"),
        ("/w?a=/w/inner", "wsgi"),
        ("/wider", "root"),
        ("/W", "root"),
        ("//w", "root"),
        ("/w/inner", "inner"),
        ("/w/innermost", "wsgi"),
        ("/w/inner/wsgi/x", "other"),
        ("/%77/inner", "inner"),
        ("/w%2Finner/x", "inner"),
        ("/caf%C3%A9/x", "other"),
        ("/caf%C3", "root"),
    ],
)
def test_the_longest_path_wins_by_whole_segments(mixed: Server, path: str, name: str) -> None:
    assert told(mixed, path)["name"] == name


@pytest.mark.parametrize(
    ("path", "script_name", "path_info"),
    [
        ("/w", "/w", ""),
        ("/w/", "/w", "/"),
        ("/w/a%20b?q", "/w", "/a b"),
        ("/%77/a", "/w", "/a"),
        ("/w/inner/wsgi/a", "/w/inner/wsgi", "/a"),
        ("/caf%C3%A9/a", "/caf\u00c3\u00a9", "/a"),
    ],
)
def test_wsgi_is_told_its_script_name(
    mixed: Server, path: str, script_name: str, path_info: str
) -> None:
    answer = told(mixed, path)
    assert (answer["script_name"], answer["path_info"]) == (script_name, path_info)


def test_asgi_is_told_its_root_path(mixed: Server) -> None:
    answer = told(mixed, "/w/inner/a%20b")
    assert answer["root_path"] == "/w/inner"
    assert (answer["path"], answer["raw_path"]) == ("/w/inner/a b", "/w/inner/a%20b")
    assert told(mixed, "/a")["root_path"] == ""


def test_the_root_path_comes_before_the_mounts(server: StartServer) -> None:
    started = server(ASGI, mount=[f"/w={WSGI}", f"/i={INNER}"], root_path="/outer")
    answer = told(started, "/w/a")
    assert (answer["script_name"], answer["path_info"]) == ("/outer/w", "/a")
    answer = told(started, "/i/a")
    assert (answer["root_path"], answer["path"]) == ("/outer/i", "/outer/i/a")


def test_each_has_the_state_of_its_own_lifespan(mixed: Server) -> None:
    assert told(mixed, "/")["state"] == {"of": "root"}
    assert told(mixed, "/w/inner")["state"] == {"of": "inner"}


def test_what_trusted_proxies_report_reaches_both(mixed: Server) -> None:
    header = ("X-Forwarded-For", "192.0.2.7")
    for path in ("/", "/w", "/w/inner"):
        assert told(mixed, path, header)["client"] == "192.0.2.7", path


@pytest.mark.parametrize("size", [0, 10, 300_000, 3_000_000])
def test_bodies_reach_both(mixed: Server, size: int) -> None:
    for path in ("/", "/w"):
        assert told(mixed, path, body=b"x" * size)["body"] == size


def test_they_take_turns_on_one_connection(mixed: Server) -> None:
    paths = ["/", "/w", "/w/inner", "/w/inner/wsgi"] * 25
    with mixed.connect() as client:
        for path in paths:
            client.request("GET", path)
        names = [json.loads(client.response().text)["name"] for _ in paths]
    assert names == ["root", "wsgi", "inner", "other"] * 25


def test_they_serve_many_at_once(mixed: Server) -> None:
    def ask(number: int) -> tuple[str, str]:
        path = ("/", "/w", "/w/inner", "/stream")[number % 4]
        with mixed.connect() as client:
            client.request("GET", path)
            text = client.response().text
        return path, text if path == "/stream" else json.loads(text)["name"]

    names = {"/": "root", "/w": "wsgi", "/w/inner": "inner"}
    names["/stream"] = "".join(f"{number}\n" for number in range(100))
    with ThreadPoolExecutor(8) as pool:
        for path, name in pool.map(ask, range(400)):
            assert name == names[path]


def test_a_websocket_reaches_its_application(mixed: Server) -> None:
    for path, name in (("/", "root"), ("/w/inner/ws", "inner")):
        with websockets.sync.client.connect(f"ws://{mixed.host}:{mixed.port}{path}") as socket:
            socket.send("hello")
            assert socket.recv() == f"{name} hello"


def test_to_wsgi_the_wish_for_a_websocket_is_a_request(mixed: Server) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        websockets.sync.client.connect(f"ws://{mixed.host}:{mixed.port}/w")
    assert refused.value.response.status_code == 200
    assert json.loads(refused.value.response.body)["name"] == "wsgi"


def test_only_wsgi(all_wsgi: Server) -> None:
    answer = told(all_wsgi, "/other/a")
    assert answer["name"] == "other"
    assert (answer["script_name"], answer["path_info"]) == ("/other", "/a")
    assert told(all_wsgi, "/others")["name"] == "wsgi"


def test_lifespans_start_in_turn_and_end_in_reverse(server: StartServer) -> None:
    started = server(ASGI, mount=[f"/i={INNER}", f"/w={WSGI}"])
    assert started.stop() == 0
    notes = [line for line in started.log if line.startswith("NOTE")]
    assert notes == ["NOTE start root", "NOTE start inner", "NOTE end inner", "NOTE end root"]


def failed(*mounts: str) -> Server:
    """Have a start fail."""
    server = Server(ASGI, mount=[*mounts])
    server.wait()
    server.kill()
    return server


def test_one_that_fails_to_start_ends_the_others() -> None:
    server = failed("/f=tests.apps.mounted:failing", f"/i={INNER}")
    assert server.process.returncode == 3
    assert server.lines("no database")
    assert server.lines("^NOTE end root$")


def test_several_workers(server: StartServer) -> None:
    started = server(ASGI, mount=[f"/w={WSGI}"], workers=2)
    for path, name in (("/", "root"), ("/w", "wsgi")):
        assert told(started, path)["name"] == name


def test_the_access_log_shows_the_whole_path(server: StartServer) -> None:
    started = server(ASGI, mount=[f"/w={WSGI}"])
    told(started, "/w/a?b")
    started.wait_for(r'"GET /w/a\?b HTTP/1.1" 200')


@pytest.mark.parametrize(
    ("mount", "problem"),
    [
        ("/a", "'/a' is not in the format PATH=module:attribute."),
        ("a=b:c", "'a' is no path below '/'."),
        ("/=b:c", "'/' is no path below '/'."),
        ("/a//b=b:c", "'/a//b' is no path below '/'."),
        ("/w/=b:c", "'/w/' is given twice."),
        ("/a/../b=b:c", "'/a/../b' is no path below '/'."),
        ("/a%20b=b:c", "'/a%20b' is compared with decoded paths: write it without escapes."),
    ],
)
def test_a_mount_that_is_none(mount: str, problem: str) -> None:
    server = failed(f"/w={WSGI}", mount)
    assert server.process.returncode == 2
    assert problem in server.log[-1], server.log


def test_a_mount_that_does_not_exist() -> None:
    server = failed("/a=tests.apps.mounted:nothing")
    assert server.process.returncode == 3
    assert server.lines('Attribute "nothing" not found in module "tests.apps.mounted".')


def test_who_leaves_takes_nobody_elses_request_along(mixed: Server) -> None:
    clients: list[Client] = [mixed.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        client.request("GET", "/w" if number % 2 else "/stream")
    for client in clients[::3]:
        client.reset()
    for number, client in enumerate(clients):
        if number % 3:
            assert client.response().status == 200
            client.close()
