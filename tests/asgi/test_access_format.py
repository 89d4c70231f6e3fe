"""Access lines in a format of the user's and in JSON: what they say, when, and how often."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import DRIVERS, StartServer
from tests.support.server import PRODUCT, Server

pytestmark = pytest.mark.skipif(PRODUCT != "ferricorn", reason="the options are ferricorn's")

APP = "tests.apps.sending:app"
SCRIPT = "/script"
START: dict[str, Any] = {"type": "http.response.start", "status": 200}
BODY: dict[str, Any] = {"type": "http.response.body"}

Logging = Callable[..., Server]


@pytest.fixture
def logging(server: StartServer, everywhere: dict[str, str]) -> Logging:
    """Start a server, on each loop with each driver, whose lines end with `!`."""

    def start(text: str, **options: Any) -> Server:
        return server(APP, access_log_format=f"{text}!", **everywhere, **options)

    return start


@pytest.fixture
def in_json(server: StartServer, everywhere: dict[str, str]) -> Logging:
    return lambda **options: server(APP, log_format="json", **everywhere, **options)


def line_of(running: Server, *request: Any, path: str = "/", method: str = "GET") -> str:
    """Send a request, and return its line without the end."""
    before = len(running.lines("!$"))
    with running.connect() as client:
        client.request(method, path, *request)
        client.response(to_head=method == "HEAD")
        return running.wait_for_count("!$", before + 1)[before].removesuffix("!")


def access_objects(running: Server, count: int = 1) -> list[dict[str, Any]]:
    lines = running.wait_for_count('"logger":"uvicorn.access"', count)
    return [json.loads(line) for line in lines]


def play(running: Server, messages: list[dict[str, Any]], method: str = "POST") -> Any:
    """Have the application send messages."""
    with running.connect() as client:
        client.request(method, SCRIPT, ("te", "trailers"), body=repr(messages).encode())
        return client.response(to_head=method == "HEAD")


# What lines say


@pytest.mark.parametrize(
    ("atom", "value"),
    [
        ("h", r"127\.0\.0\.1"),
        ("peer", r"127\.0\.0\.1"),
        ("l", "-"),
        ("u", "Aladdin"),
        ("t", r"\[\d\d/[A-Z][a-z]{2}/20\d\d:\d\d:\d\d:\d\d \+0000\]"),
        ("r", r"GET /nowhere/a%20b/%C3%A9\?q=1&r=%22 HTTP/1\.1"),
        ("m", "GET"),
        ("U", re.escape(r"/nowhere/a b/\xc3\xa9")),
        ("q", "q=1&r=%22"),
        ("H", r"HTTP/1\.1"),
        ("s", "404"),
        ("B", "18"),
        ("b", "18"),
        ("f", "http://example.org/"),
        ("a", "test/1"),
        ("T", "0"),
        ("M", r"\d+"),
        ("D", r"\d+"),
        ("L", r"0\.\d{6}"),
        ("p", r"<\d+>"),
        ("request_id", "abc-1"),
        ("{Referer}i", "http://example.org/"),
        ("{x-none}i", "-"),
        ("{Content-Length}o", "18"),
        ("{x-none}o", "-"),
        ("{TEST_VARIABLE}e", re.escape(r"a\x0ab\x22")),
        ("{TEST_NONE}e", "-"),
    ],
)
def test_an_atom(shared_server: StartServer, atom: str, value: str) -> None:
    running = shared_server(
        APP, access_log_format=f"%({atom})s!", env={"TEST_VARIABLE": 'a\nb"'}, port=0
    )
    line = line_of(
        running,
        ("referer", "http://example.org/"),
        ("user-agent", "test/1"),
        ("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("x-request-id", "abc-1"),
        path="/nowhere/a%20b/%C3%A9?q=1&r=%22",
    )
    assert re.fullmatch(value, line), line


def test_the_format_of_the_same_name(server: StartServer, everywhere: dict[str, str]) -> None:
    running = server(APP, access_log_format="combined", **everywhere)
    running.get("/", ("user-agent", 'a "b"'))
    running.wait_for(r'^127\.0\.0\.1 - - \[[^]]+\] "GET / HTTP/1\.1" 200 2 "-" "a \\x22b\\x22"$')


def test_what_is_missing_is_a_dash(logging: Logging) -> None:
    running = logging("%(u)s%(q)s%(f)s%(a)s%({x}o)s%(b)s")
    messages = [START, BODY]
    play(running, messages)
    running.wait_for("^------!$")


@pytest.mark.parametrize("credentials", ["Basic", "Basic ", "Basic Og==", "Basic ?", "Bearer QTpi"])
def test_credentials_without_a_name(shared_server: StartServer, credentials: str) -> None:
    running = shared_server(APP, access_log_format="%(u)s!")
    assert line_of(running, ("authorization", credentials)) == "-"


def test_text_around_atoms_and_percent_signs(logging: Logging) -> None:
    assert line_of(logging("100%% é %(m)s%(m)s")) == "100% é GETGET"


def test_the_client_and_the_peer(logging: Logging) -> None:
    running = logging("%(h)s %(peer)s", forwarded_allow_ips="127.0.0.1")
    assert line_of(running, ("x-forwarded-for", "192.0.2.7")) == "192.0.2.7 127.0.0.1"


def test_a_client_of_a_unix_socket(server: StartServer, tmp_path: Path) -> None:
    running = server(APP, uds=tmp_path / "sock", access_log_format="%(h)s %(peer)s!")
    assert line_of(running) == "- -"


def test_the_duration_is_that_of_the_exchange(logging: Logging) -> None:
    running = logging("%(U)s %(D)s %(L)s %(M)s %(T)s")
    began = time.monotonic()
    with running.connect() as client:
        client.request("GET", "/step_by_step")
        client.head()
        waited_from = time.monotonic()
        running.get("/pass/step")
        assert client.read_chunk() == b"step 0"
        waited = time.monotonic() - waited_from
        for _ in range(3):
            running.get("/pass/step")
        while client.read_chunk():
            pass
        running.wait_for("^/step_by_step ")
    took = time.monotonic() - began
    _, micros, seconds, millis, whole = running.lines("^/step_by_step ")[0][:-1].split()
    assert waited <= int(micros) / 1e6 <= took
    assert float(seconds) == int(micros) / 1e6
    assert (int(millis), int(whole)) == (int(micros) // 1000, int(micros) // 1_000_000)


# Bytes


@pytest.mark.parametrize(
    ("messages", "size"),
    [
        ([START, BODY], 0),
        ([START, {**BODY, "body": b"12345"}], 5),
        ([{**START, "headers": [(b"content-length", b"5")]}, {**BODY, "body": b"12345"}], 5),
        (
            [
                START,
                {**BODY, "body": b"x" * 100, "more_body": True},
                {**BODY, "body": b"y" * 100_000, "more_body": True},
                BODY,
            ],
            100_100,
        ),
        ([START, {"type": "http.response.pathsend", "path": __file__}], os.stat(__file__).st_size),
        (
            [
                {**START, "trailers": True},
                {**BODY, "body": b"123"},
                {"type": "http.response.trailers", "headers": [(b"x-trailer", b"12345")]},
            ],
            3,
        ),
    ],
)
def test_bytes_are_those_of_the_body(
    shared_server: StartServer, everywhere: dict[str, str], messages: Any, size: int
) -> None:
    running = shared_server(APP, access_log_format="%(s)s %(B)s!", **everywhere)
    before = len(running.lines("!$"))
    response = play(running, messages)
    assert len(response.body) == size
    assert running.wait_for_count("!$", before + 1)[before] == f"200 {size}!"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 204), ("POST", 304)])
def test_a_response_without_a_body_has_no_bytes(logging: Logging, method: str, status: int) -> None:
    running = logging("%(m)s %(s)s %(B)s")
    play(running, [{**START, "status": status}, {**BODY, "body": b"unsent"}], method)
    running.wait_for(f"^{method} {status} 0!$")


# When, and how often


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/raises_at_once", "500 21"),
        ("/raises_after_wait", "500 21"),
        ("/returns_at_once", "500 21"),
        ("/cancels_itself", "500 21"),
        ("/raises_after_start", "200 0"),
        ("/raises_within_body", "200 4"),
        ("/returns_within_body", "200 4"),
        ("/raises_after_end", "200 5"),
    ],
)
def test_applications_that_err(
    shared_server: StartServer, everywhere: dict[str, str], path: str, line: str
) -> None:
    running = shared_server(APP, access_log_format="%(U)s %(s)s %(B)s!", **everywhere)
    with running.connect() as client:
        client.request("GET", path)
        client.rest()
    running.wait_for(f"^{path} ")
    # By now a second one would have come.
    line_of(running)
    assert running.lines(f"^{path} ") == [f"{path} {line}!"]


def test_the_line_comes_with_the_end(logging: Logging) -> None:
    running = logging("%(U)s")
    with running.connect() as client:
        client.request("GET", "/step_by_step")
        assert client.head().status == 200
        line_of(running, path="/nowhere")
        assert not running.lines("^/step_by_step")
        for _ in range(4):
            running.get("/pass/step")
        while client.read_chunk():
            pass
        running.wait_for("^/step_by_step!$")


def test_a_client_that_leaves_is_logged_when_the_application_has_ended(logging: Logging) -> None:
    running = logging("%(U)s %(s)s %(B)s")
    with running.connect() as client:
        client.request("GET", "/waits_for_the_end")
        running.notes("waiting")
        client.reset()
    running.notes("left alone")
    assert not running.lines("^/waits_for_the_end")
    running.get("/pass/end")
    running.wait_for("^/waits_for_the_end 499 0!$")
    line_of(running)
    assert len(running.lines("^/waits_for_the_end")) == 1


def test_a_client_that_errs_in_its_body_has_the_status_it_was_told(logging: Logging) -> None:
    running = logging("%(U)s %(s)s")
    with running.connect() as client:
        client.send(
            b"POST /waits_for_the_end HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        running.notes("waiting")
        client.send(b"nonsense\r\n")
        assert client.response().status == 400
    running.notes("left alone")
    running.get("/pass/end")
    running.wait_for("^/waits_for_the_end 400!$")


def test_an_application_that_the_end_cancels_has_its_line(logging: Logging) -> None:
    running = logging("%(U)s %(s)s", timeout_graceful_shutdown=0)
    with running.connect() as client:
        client.request("GET", "/waits_for_the_end")
        running.notes("waiting")
        running.stop()
    assert running.lines("^/waits_for_the_end 499!$")


def test_each_of_a_pipeline_has_one_line(logging: Logging) -> None:
    running = logging("%(U)s %(request_id)s")
    with running.connect() as client:
        client.send(b"".join(b"GET /x%d HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in range(100)))
        for _ in range(100):
            client.response()
    lines = running.wait_for_count("^/x", 100)
    assert [line.split()[0] for line in lines] == [f"/x{n}" for n in range(100)]
    assert len({line.split()[1] for line in lines}) == 100


def test_without_access_log_there_is_none(server: StartServer) -> None:
    running = server(APP, access_log=False, access_log_format="%(request_id)s")
    assert running.get("/request_ids").json() == []
    running.stop()
    assert running.out == []


# Ids of requests


def test_a_request_gets_an_id_that_the_application_sees(logging: Logging) -> None:
    running = logging("%(U)s %(request_id)s")
    ids = [running.get("/request_ids").json() for _ in range(2)]
    lines = running.wait_for_count("^/request_ids", 2)
    assert [f"/request_ids {each}!" for (each,) in ids] == lines
    assert ids[0] != ids[1]


def test_the_client_s_id_is_taken(logging: Logging) -> None:
    running = logging("%(U)s %(request_id)s")
    assert running.get("/request_ids", ("X-Request-ID", "a" * 127 + '"')).json() == [
        "a" * 127 + '"'
    ]
    running.wait_for(r"^/request_ids a{127}\\x22!$")


@pytest.mark.parametrize("given", [[""], ["a b"], ["a" * 129], ["caf\xe9"], ["one", "two"]])
def test_what_cannot_be_an_id_is_replaced(shared_server: StartServer, given: list[str]) -> None:
    running = shared_server(APP, access_log_format="%(request_id)s!")
    (seen,) = running.get("/request_ids", *(("x-request-id", each) for each in given)).json()
    assert re.fullmatch("[0-9a-f]{24,}", seen)
    running.wait_for(f"^{seen}!$")


def test_ids_are_not_given_where_no_line_shows_them(logging: Logging) -> None:
    running = logging("%({x-request-id}i)s")
    assert running.get("/request_ids").json() == []


def test_processes_give_different_ids(server: StartServer) -> None:
    running = server(APP, access_log_format="%(request_id)s!", workers=2)
    running.wait_for_count("Application startup complete", 2)
    ids: set[str] = set()
    while len({each[:16] for each in ids}) < 2:
        (seen,) = running.get("/request_ids").json()
        assert seen not in ids
        ids.add(seen)
    assert len(running.wait_for_count("!$", len(ids))) == len(ids)


# JSON


def test_an_access_line_in_json(in_json: Logging) -> None:
    running = in_json()
    with running.connect() as client:
        client.get("/nowhere/a%20b?q=%22", ("x-request-id", "abc"))
        port = client.sock.getsockname()[1]
    (found,) = access_objects(running)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", found.pop("time"))
    duration = found.pop("duration_ms")
    assert isinstance(duration, float)
    assert duration >= 0
    assert found == {
        "level": "INFO",
        "logger": "uvicorn.access",
        "message": f'127.0.0.1:{port} - "GET /nowhere/a%20b?q=%22 HTTP/1.1" 404',
        "client": "127.0.0.1",
        "peer": "127.0.0.1",
        "method": "GET",
        "path": "/nowhere/a b",
        "query": "q=%22",
        "http_version": "1.1",
        "status": 404,
        "bytes": 18,
        "request_id": "abc",
    }


def test_all_lines_are_objects(in_json: Logging) -> None:
    running = in_json(use_colors=True)
    running.get("/raises_at_once")
    with running.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        client.rest()
    running.stop()
    objects = [json.loads(line) for line in running.log]
    (failure,) = (each for each in objects if "traceback" in each)
    assert (failure["level"], failure["logger"]) == ("ERROR", "uvicorn.error")
    assert failure["traceback"].endswith("FaultError: at once")
    assert any(each["message"].startswith("Invalid HTTP request") for each in objects)
    assert "\x1b" not in repr(objects)


def test_the_message_is_the_user_s_line(in_json: Logging) -> None:
    running = in_json(access_log_format='"%(m)s" %(s)s')
    running.get("/")
    assert access_objects(running)[0]["message"] == '"GET" 200'


def test_a_unix_socket_s_client_is_null(server: StartServer, tmp_path: Path) -> None:
    running = server(APP, uds=tmp_path / "sock", log_format="json")
    running.get("/")
    (found,) = access_objects(running)
    assert (found["client"], found["peer"]) == (None, None)
    assert found["message"] == ' - "GET / HTTP/1.1" 200'


def test_workers_write_json(server: StartServer) -> None:
    running = server(APP, workers=2, log_format="json")
    running.wait_for_count("Application startup complete", 2)
    running.get("/")
    access_objects(running)
    running.stop(signal.SIGTERM)
    assert all(json.loads(line)["logger"] for line in running.log)


# What clients write


def hostile_heads() -> list[bytes]:
    """Heads whose paths, queries and values are of all octets that get through."""
    source = random.Random(59)
    heads = []
    for _ in range(300):
        raw = bytes(source.randrange(256) for _ in range(40)) + b'"\\\x1b\xe2\x80\xae\x7f'
        path = "".join(f"%{c:02X}" for c in raw).encode()
        value = bytes(c for c in raw if (c >= 0x20 and c != 0x7F) or c == 9).strip(b" \t")
        query = bytes(c for c in raw if 0x21 <= c < 0x7F and c != ord("#"))
        heads.append(
            b"GET /x%s?%s HTTP/1.1\r\nhost: x\r\nuser-agent: %s\r\nreferer: %s\r\n"
            b"x-request-id: %s\r\n\r\n" % (path, query, value, value[::-1], value[:20])
        )
    return heads


def send_all(running: Server, heads: list[bytes]) -> list[int]:
    with running.connect() as client:
        statuses = []
        for head in heads:
            client.send(head)
            statuses.append(client.response().status)
    return statuses


LINE = re.compile(
    r'127\.0\.0\.1 - - \[[^]"\\]+\] "GET /x[^ "]+ HTTP/1\.1" 404 \d+ "([^"]+)" "([^"]+)" \S+ \S+'
)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_line_stays_one_line(server: StartServer, driver: str) -> None:
    heads = hostile_heads()
    text = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(m)s %(request_id)s'
    running = server(APP, driver=driver, access_log_format=text)
    assert send_all(running, heads) == [404] * len(heads)
    running.wait_for_count("^127", len(heads))
    assert len(running.out) == len(heads)
    for line, head in zip(running.out, heads, strict=True):
        found = LINE.fullmatch(line)
        assert found, line
        assert re.fullmatch(r"[ -~]+", line)
        for shown, name in ((found[1], b"referer"), (found[2], b"user-agent")):
            sent = re.search(rb"\r\n%s: (.*)\r\n" % name, head)
            assert sent
            restored = re.sub(r"\\x(..)", lambda m: chr(int(m[1], 16)), shown)
            assert restored.encode("latin-1") == sent[1]


@pytest.mark.parametrize("driver", DRIVERS)
def test_json_stays_json(server: StartServer, driver: str) -> None:
    heads = hostile_heads()
    running = server(APP, driver=driver, log_format="json", access_log_format="%(U)s %(a)s")
    assert send_all(running, heads) == [404] * len(heads)
    found = access_objects(running, len(heads))
    assert len(running.out) == len(heads)
    assert all(re.fullmatch(r"[ -~]+", line) for line in running.out)
    for each, head in zip(found, heads, strict=True):
        raw, query = head.split(b" ")[1].split(b"?", 1)
        octets = bytes.fromhex(raw[2:].decode().replace("%", ""))
        assert each["path"] == "/x" + octets.decode(errors="replace")
        assert each["query"].encode() == query


# Handlers of the user's


def user_s_config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "log.json"
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"own": {"format": text}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "formatter": "own",
                "stream": "ext://sys.stdout",
            },
            "err": {"class": "logging.StreamHandler"},
        },
        "loggers": {
            "uvicorn.access": {"handlers": ["out"], "level": "INFO", "propagate": False},
            "uvicorn.error": {"handlers": ["err"], "level": "INFO", "propagate": False},
        },
    }
    path.write_text(json.dumps(config))
    return path


def test_a_handler_of_the_user_s_gets_the_arguments_and_the_line(
    server: StartServer, everywhere: dict[str, str], tmp_path: Path
) -> None:
    config = user_s_config(tmp_path, "%(msg)s|%(args)s|%(access_line)s")
    running = server(APP, log_config=config, access_log_format="%(m)s %(s)s %(B)s", **everywhere)
    with running.connect() as client:
        client.get("/nowhere?q")
        port = client.sock.getsockname()[1]
    running.wait_for(r"^%s - ")
    assert running.out == [
        (
            '%s - "%s %s HTTP/%s" %d|'
            f"('127.0.0.1:{port}', 'GET', '/nowhere?q', '1.1', 404)|GET 404 18"
        )
    ]


def test_a_handler_of_the_user_s_gets_the_line_of_a_scope_that_is_no_more(
    server: StartServer, everywhere: dict[str, str], tmp_path: Path
) -> None:
    config = user_s_config(tmp_path, "%(access_line)s")
    running = server(APP, log_config=config, access_log_format="%(m)s %(s)s %(B)s!", **everywhere)
    assert running.get("/clears_its_scope").text == "cleared"
    running.wait_for("^- 200 7!$")


@pytest.mark.parametrize("options", [{"log_format": "json"}, {"access_log_format": "%(r)s!"}])
def test_the_log_may_be_changed_while_the_server_runs(
    server: StartServer, options: dict[str, str]
) -> None:
    running = server(APP, **options)
    for change in ("silent", "loud", "filter"):
        assert running.get(f"/changes_the_log?{change}").status == 200
        assert running.get(f"/after?{change}").status == 404
    assert running.get("/secret").status == 404
    running.stop()
    kind = r'"logger":"uvicorn.access"' if "log_format" in options else "!$"
    lines = running.lines(kind)
    paths = [re.search(r"GET (\S+)", line)[1] for line in lines]  # type: ignore[index]
    assert sorted(paths) == ["/after?filter", "/after?loud", *_CHANGES]


# A change counts for the line of the request that makes it: that comes with its end.
_CHANGES = ["/changes_the_log?filter", "/changes_the_log?loud"]
