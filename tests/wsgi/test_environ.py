"""What a WSGI application is told of a request (PEP 3333, "environ Variables")."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.apps.wsgi import respond
from tests.conftest import StartServer
from tests.process.test_embedding import in_a_thread
from tests.support.client import Client
from tests.support.server import PATIENCE, Server
from tests.wsgi.conftest import Serve

import ferricorn

APP = "tests.apps.wsgi_requests:app"


@pytest.fixture
def here(served: Serve) -> Server:
    return served(APP)


def environ(server: Server, path: str = "/environ", *headers: tuple[str, str]) -> Any:
    return server.get(path, *headers).json()


def asked(server: Server, request: bytes) -> Any:
    """Return the answer to a request of these bytes, which are to end with an empty line."""
    with server.connect() as client:
        client.send(request)
        return json.loads(client.response().body)


def test_a_plain_request(here: Server) -> None:
    with here.connect() as client:
        told = client.get("/environ?a=1").json()
        port = client.sock.getsockname()[1]
    assert told == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/environ",
        "QUERY_STRING": "a=1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(here.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "ferricorn",
        "RAW_URI": "/environ?a=1",
        "REQUEST_URI": "/environ?a=1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(port),
        "HTTP_HOST": "test",
        "wsgi.url_scheme": "http",
    }


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_the_method(here: Server, method: str) -> None:
    with here.connect() as client:
        client.request(method, "/environ")
        assert client.response().json()["REQUEST_METHOD"] == method


def test_the_protocol_is_the_requests(here: Server) -> None:
    assert asked(here, b"GET /environ HTTP/1.0\r\n\r\n")["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert environ(here)["SERVER_PROTOCOL"] == "HTTP/1.1"


def test_there_is_no_host_where_none_was_sent(here: Server) -> None:
    told = asked(here, b"GET /environ HTTP/1.0\r\n\r\n")
    assert "HTTP_HOST" not in told
    # What stands in for it must not be empty.
    assert told["SERVER_NAME"]
    assert told["SERVER_PORT"]


PATHS = {
    "/environ/": "/environ/",
    "/environ/a%20b": "/environ/a b",
    # UTF-8 on the wire: each octet is one character
    "/environ/%C3%A9%E2%82%AC": "/environ/\xc3\xa9\xe2\x82\xac",
    # Latin-1, which is no UTF-8
    "/environ/caf%E9": "/environ/caf\xe9",
    "/environ/%FF%00%80": "/environ/\xff\x00\x80",
    "/environ/a%2Fb%2525": "/environ/a/b%25",
    "/environ/a+b;c=d:@!$&'()*,": "/environ/a+b;c=d:@!$&'()*,",
    "/environ//a//b/../c/.": "/environ//a//b/../c/.",
    "//environ": "//environ",
}


@pytest.mark.parametrize(("sent", "told"), PATHS.items(), ids=PATHS)
def test_the_path_is_decoded_to_octets(here: Server, sent: str, told: str) -> None:
    assert environ(here, sent)["PATH_INFO"] == told


@pytest.mark.parametrize("query", ["", "q=%20&r=+&s", "%C3%A9=%E9", "a?b/c:d", "=&&="])
def test_the_query_stays_as_it_is(here: Server, query: str) -> None:
    told = environ(here, f"/environ?{query}")
    assert told["QUERY_STRING"] == query
    assert told["PATH_INFO"] == "/environ"


def test_the_query_is_empty_where_there_is_none(here: Server) -> None:
    assert environ(here)["QUERY_STRING"] == ""


def test_a_target_in_absolute_form(here: Server) -> None:
    told = asked(here, b"GET http://other/environ?q HTTP/1.1\r\nhost: other\r\n\r\n")
    assert (told["PATH_INFO"], told["QUERY_STRING"]) == ("/environ", "q")
    assert told["HTTP_HOST"] == "other"


def test_a_root_path_is_the_name_of_the_script(served: Serve) -> None:
    mounted = served(APP, root_path="/mounted/hére")
    told = environ(mounted, "/environ/%C3%A9")
    assert told["SCRIPT_NAME"] == "/mounted/h\xc3\xa9re"
    assert told["PATH_INFO"] == "/environ/\xc3\xa9"


# Headers


def test_headers(here: Server) -> None:
    told = environ(
        here,
        "/environ",
        ("User-Agent", "tester/1.0 (x; y)"),
        ("ACCEPT", "*/*"),
        ("x-mixed-Case-2", "  padded\t"),
        ("X-Empty", ""),
    )
    assert told["HTTP_USER_AGENT"] == "tester/1.0 (x; y)"
    assert told["HTTP_ACCEPT"] == "*/*"
    assert told["HTTP_X_MIXED_CASE_2"] == "padded"
    assert told["HTTP_X_EMPTY"] == ""


def test_the_headers_of_a_body_have_names_of_their_own(here: Server) -> None:
    with here.connect() as client:
        client.request("POST", "/environ", ("Content-Type", "text/x; charset=é"), body=b"four")
        told = client.response().json()
    assert told["CONTENT_TYPE"] == "text/x; charset=é"
    assert told["CONTENT_LENGTH"] == "4"
    assert "HTTP_CONTENT_TYPE" not in told
    assert "HTTP_CONTENT_LENGTH" not in told


def test_a_body_in_chunks_has_its_length_and_no_coding(here: Server) -> None:
    # RFC 3875 section 4.2, which PEP 3333 builds on: transfer codings are removed, and the length
    # is told.
    with here.connect() as client:
        client.request("POST", "/environ", ("transfer-encoding", "chunked"))
        client.chunk(b"five!")
        client.chunk(b"more")
        client.chunk(b"")
        told = client.response().json()
    assert told["CONTENT_LENGTH"] == "9"
    assert "HTTP_TRANSFER_ENCODING" not in told


def test_there_is_no_type_or_length_where_none_was_sent(here: Server) -> None:
    told = environ(here)
    # PEP 3333: may be empty, or absent
    assert told.get("CONTENT_TYPE", "") == ""
    assert told.get("CONTENT_LENGTH", "") == ""


def test_repeated_headers_are_joined(here: Server) -> None:
    told = environ(
        here,
        "/environ",
        ("X-Who", "ann"),
        ("Accept", "text/html;q=1"),
        ("x-who", "bob, eve"),
        ("accept", "*/*"),
        ("X-WHO", ""),
    )
    assert [each.strip() for each in told["HTTP_X_WHO"].split(",")] == ["ann", "bob", "eve", ""]
    assert [each.strip() for each in told["HTTP_ACCEPT"].split(",")] == ["text/html;q=1", "*/*"]


def test_cookies_are_joined_as_cookies_are(here: Server) -> None:
    assert environ(here, "/environ", ("Cookie", "a=1; b=2"))["HTTP_COOKIE"] == "a=1; b=2"
    told = environ(here, "/environ", ("Cookie", "a=1"), ("x", "y"), ("cookie", 'b="2,3"'))
    assert told["HTTP_COOKIE"] == 'a=1; b="2,3"'


def test_values_are_octets_as_characters(here: Server) -> None:
    told = asked(
        here, b"GET /environ HTTP/1.1\r\nhost: a\r\nx-one: \xe9\xff\r\nx-two: \xc3\xa9\r\n\r\n"
    )
    assert told["HTTP_X_ONE"] == "\xe9\xff"
    assert told["HTTP_X_TWO"] == "\xc3\xa9"


def test_names_with_an_underscore_are_dropped(here: Server) -> None:
    with here.connect() as client:
        client.request(
            "POST",
            "/environ",
            ("X_Forwarded_For", "1.2.3.4"),
            ("Content_Length", "9"),
            ("content_type", "spoof/ed"),
            ("x-right", "1"),
            ("x_right", "2"),
            ("_", "3"),
            body=b"four",
        )
        told = client.response().json()
    assert "HTTP_X_FORWARDED_FOR" not in told
    assert told["CONTENT_LENGTH"] == "4"
    assert told.get("CONTENT_TYPE", "") == ""
    assert told["HTTP_X_RIGHT"] == "1"
    assert not [name for name in told if name.startswith(("HTTP__", "HTTP_CONTENT"))]


def test_the_log_says_so_once_and_not_what_they_were(fresh: Serve) -> None:
    server = fresh(APP)
    with server.connect() as client:
        for _ in range(5):
            client.get("/environ", ("X_Spoofed", "a"), ("x_spoofed", "b"), ("x-right", "c"))
    # Then the log is complete.
    server.stop()
    (line,) = server.lines("underscore")
    assert re.fullmatch(
        r"WARNING:  Headers with an underscore in their names were left out of the environ: 2 "
        r"\(from 127\.0\.0\.1:\d+\)",
        line,
    )
    assert not server.lines("(?i)spoofed")


def test_they_are_counted() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        return respond(start_response)

    server = ferricorn.Server(ferricorn.Config(app, port=0, log_config=None, access_log=False))
    with in_a_thread(server):
        address = server.servers[0].sockets[0].getsockname()
        with Client(socket.create_connection(address, timeout=PATIENCE)) as client:
            for _ in range(3):
                client.get("/", ("x_one", "1"), ("x-two", "2"), ("x_three_", "3"))
        native: Any = server.server_state.native
        assert native.counters()["headers_left_out"] == 6
        assert native.counters()["requests"] == 3


def test_many_headers(here: Server) -> None:
    told = environ(here, "/environ", *((f"x-{number}", str(number)) for number in range(80)))
    assert [told[f"HTTP_X_{number}"] for number in range(80)] == [str(n) for n in range(80)]


def test_what_a_trusted_proxy_says_is_believed(here: Server) -> None:
    told = environ(here, "/environ", ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"))
    assert told["REMOTE_ADDR"] == "1.2.3.4"
    assert told["wsgi.url_scheme"] == "https"
    assert told["HTTP_X_FORWARDED_FOR"] == "1.2.3.4"


def test_what_another_says_is_not(served: Serve) -> None:
    strict = served(APP, proxy_headers=False)
    told = environ(
        strict, "/environ", ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")
    )
    assert told["REMOTE_ADDR"] == "127.0.0.1"
    assert told["wsgi.url_scheme"] == "http"


# The server's own variables


def test_types(served: Serve) -> None:
    # Without the validator, which replaces the input and the errors by its own.
    told = served("tests.apps.wsgi_requests:bare").get("/types", ("x-one", "1")).json()
    assert told.pop("") == "dict"
    assert told["wsgi.version"] == "tuple"
    for name in ("multithread", "multiprocess", "run_once", "input_terminated"):
        assert told[f"wsgi.{name}"] == "bool", name
    # PEP 3333: variables of CGI are of the built-in type itself
    text = {name: kind for name, kind in told.items() if "." not in name}
    assert set(text.values()) == {"str"}
    assert {"HTTP_X_ONE", "REQUEST_METHOD", "SERVER_PORT"} <= set(text)
    assert "wsgi.input" in told
    assert "wsgi.errors" in told


def test_the_servers_variables(here: Server) -> None:
    assert here.get("/server_variables").json() == {
        "version": [1, 0],
        "url_scheme": "http",
        "multithread": True,
        "multiprocess": False,
        "run_once": False,
        "input_terminated": True,
    }


def test_several_workers_are_several_processes(fresh: Serve) -> None:
    server = fresh(APP, workers=2)
    server.wait_for_count("Application startup complete", 2)
    assert server.get("/server_variables").json()["multiprocess"] is True


def test_an_application_may_change_its_environment(here: Server) -> None:
    with here.connect() as client:
        assert [client.get("/spoiled").json() for _ in range(5)] == [False] * 5
    assert here.get("/spoiled").json() is False


def test_a_unix_socket(server: StartServer, tmp_path: Path) -> None:
    running = server(APP, uds=tmp_path / "s")
    told = running.get("/environ").json()
    assert told["PATH_INFO"] == "/environ"
    assert told["wsgi.url_scheme"] == "http"
    # PEP 3333: these two are never empty
    assert told["SERVER_NAME"]
    assert told["SERVER_PORT"]
    assert running.get("/types").json()["REMOTE_ADDR"] == "str"
    assert not running.lines("AssertionError")
