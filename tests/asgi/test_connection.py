"""One connection after another request: keeping it, pipelines, cuts at every byte, Expect."""

from __future__ import annotations

import pytest
from tests.conftest import StartServer
from tests.support.client import Client, Response, request
from tests.support.server import Server

APP = "tests.apps.receiving:app"


@pytest.fixture
def here(shared_server: StartServer, everywhere: dict[str, str]) -> Server:
    return shared_server(APP, **everywhere)


@pytest.fixture
def fresh(server: StartServer, everywhere: dict[str, str]) -> Server:
    return server(APP, **everywhere)


# Keeping


def test_a_connection_is_kept(here: Server) -> None:
    with here.connect() as client:
        for number in range(50):
            assert client.post("/body", b"%d" % number).body == b"%d" % number


def test_a_connection_is_kept_after_each_kind_of_request(here: Server) -> None:
    with here.connect() as client:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE", "BREW"):
            client.request(method, "/")
            response = client.response(to_head=method == "HEAD")
            assert response.status == 200
            assert "connection" not in response
        client.request("POST", "/body", ("transfer-encoding", "chunked"))
        client.chunk(b"chunk")
        client.chunk(b"")
        assert client.response().body == b"chunk"
        assert client.get("/nowhere").status == 404
        assert client.get("/").status == 200


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\n", True),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n", True),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: Close\r\n", False),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: te, close\r\n", False),
        (b"GET / HTTP/1.0\r\n", False),
        (b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n", True),
    ],
)
def test_who_closes(here: Server, head: bytes, kept: bool) -> None:
    with here.connect() as client:
        client.send(head + b"\r\n")
        response = client.response()
        assert response.body == b"ok"
        assert ("close" in response.all("connection")) == (not kept)
        if kept:
            assert client.get("/").body == b"ok"
        else:
            assert client.closed()


def test_an_idle_connection_ends_without_a_word(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    with server(APP, timeout_keep_alive=0.3, **everywhere).connect() as client:
        assert client.get("/").body == b"ok"
        assert client.closed()


def test_a_connection_that_works_is_not_idle(
    server: StartServer, everywhere: dict[str, str]
) -> None:
    running = server(APP, timeout_keep_alive=0.3, **everywhere)
    with running.connect() as client:
        client.request("GET", "/never_receives")
        running.notes("standing")
        # An idle connection that came later is over before this one goes on.
        with running.connect() as idle:
            idle.get("/")
            assert idle.closed()
        running.get("/pass/read")
        assert client.response().body == b"0"


# Pipelines

PIPELINE = [
    request("GET", "/"),
    request("POST", "/body", body=b"first body"),
    request(
        "POST", "/body", ("transfer-encoding", "chunked"), body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    ),
    request("GET", "/nowhere"),
    request("POST", "/answers_unread", body=b"unread"),
    request("GET", "/", ("connection", "close")),
]
ANSWERS = [(200, b"ok"), (200, b"first body"), (200, b"abcde"), (404, b"no route 'nowhere'")]
ANSWERS += [(200, b"ok"), (200, b"ok")]


def answers(client: Client, count: int) -> list[tuple[int, bytes]]:
    responses: list[Response] = [client.response() for _ in range(count)]
    return [(response.status, response.body) for response in responses]


def test_a_pipeline_is_answered_in_its_order(here: Server) -> None:
    with here.connect() as client:
        client.send(b"".join(PIPELINE))
        assert answers(client, len(ANSWERS)) == ANSWERS
        assert client.closed()


def test_a_pipeline_behind_a_slow_request(fresh: Server) -> None:
    with fresh.connect() as client:
        client.request("GET", "/never_receives")
        client.send(b"".join(PIPELINE))
        fresh.notes("standing")
        fresh.get("/pass/read")
        assert answers(client, 1 + len(ANSWERS)) == [(200, b"0"), *ANSWERS]


def test_requests_behind_one_that_closes_are_not_served(fresh: Server) -> None:
    with fresh.connect() as client:
        client.send(request("GET", "/", ("connection", "close")) + request("GET", "/ends"))
        assert client.response().body == b"ok"
        assert client.closed()
    fresh.get("/last")
    fresh.wait_for('"GET /last')
    assert not fresh.lines('"GET /ends')


def test_a_thousand_requests_at_once(here: Server) -> None:
    count = 1000
    with here.connect() as client:
        client.send(b"".join(request("POST", "/body", body=b"%d" % n) for n in range(count)))
        assert answers(client, count) == [(200, b"%d" % n) for n in range(count)]


class Paced:
    """Lets a test wait until the server has read what was sent, by a request of its own.

    The server takes readable connections in the order in which they became so, hence it has seen
    what came before when it answers.
    """

    def __init__(self, server: Server) -> None:
        self.helper = server.connect()

    def __call__(self) -> None:
        assert self.helper.get("/").status == 200


def test_a_pipeline_cut_at_every_byte_gets_the_same_answers(here: Server) -> None:
    stream = b"".join(PIPELINE)
    paced = Paced(here)
    for cut in range(1, len(stream)):
        with here.connect() as client:
            client.send(stream[:cut])
            paced()
            client.send(stream[cut:])
            assert answers(client, len(ANSWERS)) == ANSWERS, stream[:cut]
            assert client.closed()


def test_a_pipeline_sent_byte_by_byte_gets_the_same_answers(here: Server) -> None:
    paced = Paced(here)
    with here.connect() as client:
        for byte in b"".join(PIPELINE):
            client.send(bytes([byte]))
            paced()
        assert answers(client, len(ANSWERS)) == ANSWERS
        assert client.closed()


# The client's end


def test_a_client_that_ends_its_side_after_its_request_gets_the_answer(here: Server) -> None:
    with here.connect() as client:
        client.send(b"".join(PIPELINE[:3]))
        client.shutdown()
        assert answers(client, 3) == ANSWERS[:3]
        assert client.closed()


@pytest.mark.parametrize("start", [b"", b"G", b"GET / HTTP/1.1\r\nhost: x\r\n"])
def test_a_client_that_leaves_before_its_request_was_whole(fresh: Server, start: bytes) -> None:
    with fresh.connect() as client:
        client.send(start)
        client.shutdown()
        raw = client.rest()
    assert raw == b"" or raw.startswith(b"HTTP/1.1 400 ")
    assert fresh.get("/").status == 200
    fresh.stop()
    assert not fresh.lines("ERROR|Traceback")


# Expect


def test_100_comes_when_the_application_reads(here: Server) -> None:
    with here.connect() as client:
        client.request("POST", "/body", ("content-length", "4"), ("expect", "100-continue"))
        assert client.head().status == 100
        client.send(b"body")
        assert client.response().body == b"body"
        assert client.get("/").body == b"ok"


def test_100_does_not_come_before_the_application_reads(fresh: Server) -> None:
    with fresh.connect() as client:
        headers = [("content-length", "4"), ("expect", "100-continue")]
        client.request("POST", "/never_receives", *headers)
        fresh.notes("standing")
        client.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.sock.recv(1)
        client.sock.setblocking(True)
        fresh.get("/pass/read")
        assert client.head().status == 100
        client.send(b"body")
        assert client.response().body == b"4"


def test_no_100_if_the_application_does_not_read(here: Server) -> None:
    with here.connect() as client:
        client.request("POST", "/", ("content-length", "4"), ("expect", "100-continue"))
        response = client.response()
        assert (response.status, response.interim) == (200, [])
        # Whether the client sends its body now is open, so the connection ends.
        assert response["connection"] == "close"
        assert client.closed()


def test_no_100_if_the_body_came_with_the_head(here: Server) -> None:
    with here.connect() as client:
        response = client.post("/body", b"body", ("expect", "100-continue"))
        assert (response.interim, response.body) == ([], b"body")
        assert client.get("/").body == b"ok"


def test_no_100_for_http_1_0(here: Server) -> None:
    with here.connect() as client:
        client.send(b"POST /body HTTP/1.0\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\nbody")
        response = client.response()
        assert (response.status, response.body) == (200, b"body")


def test_other_expectations_are_refused(here: Server) -> None:
    with here.connect() as client:
        client.request("GET", "/", ("expect", "the-unexpected"))
        assert client.response().status == 417
