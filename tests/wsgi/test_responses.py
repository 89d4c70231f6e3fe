"""Bodies of responses: iterables of all kinds, their framing, when they leave, and `close`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.client import Client, CutError, request
from tests.support.server import Server
from tests.wsgi.conftest import Serve
from tests.wsgi.test_start_response import TEXT, answer, ask

APP = "tests.apps.wsgi_responses:app"


@pytest.fixture
def here(served: Serve) -> Server:
    return served(APP)


# Iterables


def test_a_generator(here: Server) -> None:
    with here.connect() as client:
        for _ in range(3):
            assert client.get("/generator").body == b"portion 0\nportion 1\nportion 2\n"


def test_many_portions(here: Server) -> None:
    wanted = b"".join(b"%03d" % number * 333 + b"\n" for number in range(1000))
    assert here.get("/many").body == wanted


def test_one_large_portion(here: Server) -> None:
    with here.connect() as client:
        assert client.get("/large").body == b"0123456789" * 300_000
        assert client.get("/").text == "ok"


def test_a_list_of_several(here: Server) -> None:
    assert answer(here, body=[b"one", b"", b"two", b"three"]).body == b"onetwothree"


@pytest.mark.parametrize("body", [[], [b""], [b"", b""]], ids=repr)
def test_an_empty_body(here: Server, body: list[bytes]) -> None:
    response = answer(here, "404 Not Found", body=body)
    assert (response.status, response.body) == (404, b"")


def test_a_portion_is_sent_before_the_next_is_asked_for(here: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with here.connect() as client:
        client.request("GET", f"/step_by_step?{gate}")
        assert client.head().status == 200
        assert client.read_chunk() == b"first"
        gate.touch()
        assert client.read_chunk() == b"second"
        assert client.read_chunk() == b""


def test_portions_come_at_once_though_another_thread_waits(served: Serve, tmp_path: Path) -> None:
    server = served(APP, threads=4)
    with server.connect() as client:
        client.sock.settimeout(5)
        begun = time.monotonic()
        client.request("GET", f"/paced?{tmp_path}")
        client.head()
        for number in range(40):
            assert client.read_chunk() == b"%d" % number
            (tmp_path / str(number + 1)).touch()
        assert client.read_chunk() == b""
    # Were each to wait for the next look at the sockets, it would be twice as long.
    assert time.monotonic() < begun + 5


def test_the_end_comes_before_the_application_closes(here: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with here.connect() as client:
        try:
            assert client.get(f"/closes_late?{gate}").text == "onetwo"
        finally:
            gate.touch()
        assert client.get("/").text == "ok"


def test_a_client_that_has_caught_up_costs_no_more(here: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with here.connect() as client:
        client.request("GET", f"/catches_up?{gate}")
        client.head()
        taken = 0
        while taken < 8 << 20:
            taken += client.read_chunk().count(0)
        gate.touch()
        rest = b""
        while data := client.read_chunk():
            rest += data
    assert int(rest.lstrip(b".").removeprefix(b"small" * 2_000)) < here.descriptors() + 20


def test_the_client_has_what_was_made_while_the_application_waits(
    here: Server, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    for _ in range(5):
        with here.connect() as client:
            client.request("GET", f"/tail?{gate}")
            client.head()
            assert client.exactly(8 << 20) == bytes(8 << 20)
            gate.touch()
            assert client.exactly(3) == b"end"
        gate.unlink()


def test_a_child_that_comes_back_does_not_serve(here: Server) -> None:
    for _ in range(3):
        assert here.get("/forks").body == b"7"
    assert not here.lines("SystemExit")


# Framing


def test_a_length_of_the_application(here: Server) -> None:
    response = answer(here, headers=(TEXT, ("Content-Length", "7")), body=[b"one", b"four"])
    assert response["content-length"] == "7"
    assert "transfer-encoding" not in response
    assert response.body == b"onefour"


def test_a_body_without_a_length_is_chunked(here: Server) -> None:
    assert here.get("/generator")["transfer-encoding"] == "chunked"


def test_http_1_0_gets_no_chunks(here: Server) -> None:
    with here.connect() as client:
        client.send(b"GET /generator HTTP/1.0\r\n\r\n")
        response = client.response()
        assert "transfer-encoding" not in response
        assert response.body == b"portion 0\nportion 1\nportion 2\n"
        assert client.closed()


def test_a_response_to_head_has_no_body(here: Server) -> None:
    with here.connect() as client:
        for path in ("/large", "/generator", "/writes", "/many"):
            client.request("HEAD", path)
            response = client.response(to_head=True)
            assert response.status == 200
            assert response.all("content-length") == (["3000000"] if path == "/large" else [])
        assert client.get("/").text == "ok"


def test_nor_has_one_whose_application_knows_that_it_is_head(here: Server) -> None:
    with here.connect() as client:
        ask(client, headers=(TEXT, ("Content-Length", "12")), body=[], method="HEAD")
        assert client.response(to_head=True)["content-length"] == "12"
        assert client.get("/").text == "ok"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("body", [[], [b""]], ids=repr)
def test_a_status_without_a_body(here: Server, status: str, body: list[bytes]) -> None:
    response = answer(here, status, (("X-One", "1"),), body)
    assert f"{response.status} {response.reason}" == status
    assert response["x-one"] == "1"
    assert "transfer-encoding" not in response
    assert "content-length" not in response


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_body_that_may_not_be_is_not_sent(here: Server, status: str) -> None:
    assert answer(here, status, (("X-One", "1"),), [b"a body"]).body == b""


def test_304_may_tell_the_length_of_what_is_not_sent(here: Server) -> None:
    headers = (("ETag", '"1"'), ("Content-Length", "1000"))
    assert answer(here, "304 Not Modified", headers, [])["content-length"] == "1000"


def test_more_than_the_length_is_not_sent(fresh: Serve) -> None:
    server = fresh(APP)
    with server.connect() as client:
        client.request("GET", "/closes_what_is_too_long")
        raw = client.rest()
    # Four octets, or fewer and the end of the connection: never five.
    assert b"1234".startswith(raw.partition(b"\r\n\r\n")[2])
    server.wait_for("^NOTE closed too long$")
    server.wait_for("^ERROR: .*|^Traceback")
    assert server.get("/").text == "ok"


@pytest.mark.parametrize("body", [[b"abc"], [b"a", b"b"]], ids=repr)
def test_less_than_the_length_is_not_taken_for_whole(here: Server, body: list[bytes]) -> None:
    said = len(here.lines("^ERROR: "))
    with here.connect() as client:
        ask(client, headers=(TEXT, ("Content-Length", "4")), body=body)
        with pytest.raises(CutError):
            client.response()
    here.wait_for_count("^ERROR: ", said + 1)
    assert here.get("/").text == "ok"


def test_nothing_is_not_taken_for_whole(here: Server) -> None:
    with here.connect() as client:
        ask(client, headers=(TEXT, ("Content-Length", "4")), body=[])
        raw = client.rest()
    # Cut, or another answer in its place.
    assert raw.startswith(b"HTTP/1.1 500 ") or raw.partition(b"\r\n\r\n")[2] == b""
    assert here.get("/").text == "ok"


# Connections


def test_a_connection_is_kept(here: Server) -> None:
    with here.connect() as client:
        for number in range(100):
            ask(client, body=[b"%d" % number])
            assert client.response().body == b"%d" % number


def test_a_connection_ends_when_its_client_wants(here: Server) -> None:
    with here.connect() as client:
        response = client.get("/generator", ("connection", "close"))
        assert response["connection"] == "close"
        assert client.closed()


def test_http_1_0_is_kept_if_it_wants_and_the_length_is_known(here: Server) -> None:
    with here.connect() as client:
        for _ in range(3):
            client.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            response = client.response()
            assert response["connection"] == "keep-alive"
            assert response.text == "ok"
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.response().text == "ok"
        assert client.closed()


def test_pipelined_requests_are_answered_in_order(here: Server) -> None:
    with here.connect() as client:
        paths = ["/generator", "/", "/large", "/writes", "/nowhere", "/"] * 5
        client.send(b"".join(request("GET", path) for path in paths))
        for _ in range(5):
            assert client.response().body.startswith(b"portion 0")
            assert client.response().body == b"ok"
            assert len(client.response().body) == 3_000_000
            assert client.response().body == b"written again returned"
            assert client.response().status == 404
            assert client.response().body == b"ok"


def test_a_pipelined_request_waits_for_the_one_before(here: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with here.connect() as client:
        client.send(request("GET", f"/step_by_step?{gate}") + request("GET", "/"))
        response = client.head()
        assert client.read_chunk() == b"first"
        gate.touch()
        assert client.body(response).body == b"second"
        assert client.response().text == "ok"


def test_pipelined_bodies_do_not_mix(here: Server) -> None:
    with here.connect() as client:
        for number in range(20):
            ask(client, body=[b"%d " % number * 1000])
        for number in range(20):
            assert client.response().body == b"%d " % number * 1000


def test_a_client_that_ends_its_side_is_answered(here: Server) -> None:
    with here.connect() as client:
        client.request("GET", "/generator")
        client.shutdown()
        assert client.response().body == b"portion 0\nportion 1\nportion 2\n"


# close


def test_portions_are_closed_when_all_were_sent(fresh: Serve) -> None:
    server = fresh(APP)
    assert server.get("/closes?one").body == b"onetwo"
    server.wait_for("^NOTE closed one$")
    with server.connect() as client:
        client.request("HEAD", "/closes?two")
        client.response(to_head=True)
    server.wait_for("^NOTE closed two$")
    server.stop()
    assert len(server.lines("^NOTE closed")) == 2


def test_portions_are_closed_when_one_raises(fresh: Serve, tmp_path: Path) -> None:
    server = fresh(APP)
    gate = tmp_path / "gate"
    gate.touch()
    with server.connect() as client:
        client.request("GET", f"/raises_within?{gate}")
        with pytest.raises(CutError):
            client.response()
    server.wait_for("^NOTE closed within")
    assert server.get("/raises_before_first").status == 500
    server.wait_for("^NOTE closed before first$")
    server.stop()
    assert len(server.lines("^NOTE closed")) == 2


@pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["fin", "rst"])
def test_portions_are_closed_when_the_client_leaves(fresh: Serve, leave: object) -> None:
    server = fresh(APP)
    client = server.connect()
    client.request("GET", "/endless?left")
    client.exactly(100_000)
    leave(client)  # type: ignore[operator]
    server.wait_for("^NOTE closed endless left$")
    assert server.get("/").text == "ok"
    # Leaving is no error of the application's.
    assert not server.lines("^Traceback|^ERROR")


def test_writing_ends_when_the_client_leaves(fresh: Serve) -> None:
    server = fresh(APP)
    with server.connect() as client:
        client.request("GET", "/endless_writes")
        client.exactly(100_000)
    server.wait_for("^NOTE stopped writing$")
    assert server.get("/").text == "ok"


def test_what_is_sent_waits_for_the_client(fresh: Serve) -> None:
    server = fresh(APP)
    before = server.memory()
    with server.connect() as client:
        client.request("GET", "/endless")
        for _ in range(200):
            # Behind the response's portions, which wait for this client, others are served.
            assert server.get("/").text == "ok"
        assert server.memory() - before < 64 << 20
        client.exactly(1_000_000)
