"""The extensions of responses: files, trailers, early hints, and what is for test clients."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.conftest import StartServer
from tests.support.client import Client, CutError
from tests.support.server import Server

APP = "tests.apps.extending:app"

HUNDRED = b"".join(b"%02d" % number for number in range(50))


@pytest.fixture
def here(shared_server: StartServer, everywhere: dict[str, str]) -> Server:
    return shared_server(APP, **everywhere)


@pytest.fixture
def fresh(server: StartServer, everywhere: dict[str, str]) -> Server:
    return server(APP, **everywhere)


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    """A file of a hundred bytes."""
    path = tmp_path / "hundred"
    path.write_bytes(HUNDRED)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file larger than all buffers, whose parts differ."""
    path = tmp_path_factory.mktemp("files") / "large"
    path.write_bytes(b"".join(b"%031d\n" % number for number in range(512 * 1024)))
    return path


def expect_kept(client: Client) -> None:
    assert client.get("/").body == b"ok"


# Files by their path


@pytest.mark.parametrize("framing", ["with_length", "without_length"])
def test_a_file_by_its_path(here: Server, hundred: Path, framing: str) -> None:
    with here.connect() as client:
        response = client.get(f"/path_{framing}?{hundred}")
        assert response.body == HUNDRED
        assert ("content-length" in response) == (framing == "with_length")
        expect_kept(client)


def test_an_empty_file(here: Server, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with here.connect() as client:
        for framing in ("with_length", "without_length"):
            assert client.get(f"/path_{framing}?{tmp_path / 'empty'}").body == b""
        expect_kept(client)


@pytest.mark.parametrize("framing", ["with_length", "without_length"])
def test_a_large_file(here: Server, large: Path, framing: str) -> None:
    with here.connect() as client:
        assert client.get(f"/path_{framing}?{large}").body == large.read_bytes()
        expect_kept(client)


def test_no_file_for_head(here: Server, hundred: Path) -> None:
    with here.connect() as client:
        client.request("HEAD", f"/path_with_length?{hundred}")
        assert client.response(to_head=True)["content-length"] == "100"
        expect_kept(client)


def test_a_file_for_http_1_0(here: Server, hundred: Path) -> None:
    with here.connect() as client:
        client.send(f"GET /path_without_length?{hundred} HTTP/1.0\r\n\r\n".encode())
        assert client.rest().partition(b"\r\n\r\n")[2] == HUNDRED


def test_files_among_other_answers_in_a_pipeline(here: Server, hundred: Path) -> None:
    with here.connect() as client:
        for _ in range(3):
            client.request("GET", f"/path_with_length?{hundred}")
            client.request("GET", "/")
        for _ in range(3):
            assert client.response().body == HUNDRED
            assert client.response().body == b"ok"


def test_a_file_that_is_not_there(fresh: Server, tmp_path: Path) -> None:
    with fresh.connect() as client:
        response = client.get(f"/path_missing?{tmp_path / 'nothing'}")
        assert fresh.notes("missing") == ["FileNotFoundError"]
        # The error came before anything of the body, so the application may go on.
        assert response.body == b"body"
        expect_kept(client)


def test_what_is_there_and_no_file_is_not_sent(here: Server, tmp_path: Path) -> None:
    """A pipe that nobody writes to would stop the whole server."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with here.connect() as client:
            assert client.get(f"/path_unfit?{path}").body == b"body"
            expect_kept(client)


def test_a_file_before_the_response_begins(here: Server, hundred: Path) -> None:
    assert here.get(f"/path_before_start?{hundred}").body == b"RuntimeError"


def test_a_file_is_the_whole_body(fresh: Server, hundred: Path) -> None:
    assert fresh.get(f"/path_twice?{hundred}").body == HUNDRED
    assert "already completed" in fresh.notes("twice")[0]


def test_a_file_shorter_than_announced_is_not_taken_for_whole(here: Server, hundred: Path) -> None:
    with here.connect() as client, pytest.raises(CutError):
        client.get(f"/file_shrinks?{hundred}")


def test_files_that_nobody_reads_wait_without_memory_and_are_closed(
    fresh: Server, large: Path
) -> None:
    fresh.get("/")
    before, memory = fresh.descriptors(), fresh.memory()
    clients = [fresh.connect() for _ in range(20)]
    for client in clients:
        client.request("GET", f"/path_with_length?{large}")
        client.head()
    assert fresh.get("/").body == b"ok"
    assert fresh.memory() - memory < 16 * 1024 * 1024
    for client in clients:
        client.reset()
    fresh.notes("path sent", 20)
    deadline = time.monotonic() + 10
    while fresh.descriptors() > before + 1 and time.monotonic() < deadline:
        fresh.get("/")
    assert fresh.descriptors() <= before + 1


# Files by their descriptor


def test_parts_of_an_open_file(here: Server, hundred: Path) -> None:
    with here.connect() as client:
        response = client.get(f"/descriptor?{hundred}")
        assert response.body == (
            HUNDRED[5:15] + b"body" + HUNDRED[:7] + b"[7]" + HUNDRED[90:] + HUNDRED[95:] + b"end"
        )
        expect_kept(client)


def test_a_file_may_be_closed_when_send_has_returned(
    fresh: Server, large: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(large.read_bytes())
    with fresh.connect() as client:
        assert client.get(f"/descriptor_closed_at_once?{copy}").body == large.read_bytes()
    assert fresh.notes("closed")


def test_what_is_no_file(fresh: Server) -> None:
    assert fresh.get("/descriptor_of_nothing").body == b"body"
    assert len(fresh.notes("nothing", 3)) == 3


# Trailers


def test_trailers(fresh: Server) -> None:
    with fresh.connect() as client:
        response = client.get("/trailers", ("te", "trailers"))
        assert response["trailer"] == "x-sum, x-more"
        assert response.body == b"bodybody"
        assert response.trailers == [("x-sum", "1"), ("x-more", "2")]
        expect_kept(client)
    assert fresh.notes("trailers sent")


def test_no_trailers_for_a_client_that_does_not_want_them(fresh: Server) -> None:
    with fresh.connect() as client:
        response = client.get("/trailers")
        assert (response.body, response.trailers) == (b"bodybody", [])
        expect_kept(client)
    assert fresh.notes("trailers sent")


def test_a_start_that_was_refused_leaves_no_trailers_due(here: Server) -> None:
    with here.connect() as client:
        assert client.get("/trailers_of_a_refused_start").body == b"no trailers"
        expect_kept(client)


def test_announced_trailers_that_do_not_come_are_a_fault(fresh: Server) -> None:
    with fresh.connect() as client, pytest.raises(CutError):
        client.get("/trailers_left_out", ("te", "trailers"))
    fresh.wait_for("ASGI callable returned without completing response.")


def test_trailers_that_were_not_announced_are_a_fault(fresh: Server) -> None:
    assert fresh.get("/trailers_not_announced", ("te", "trailers")).body == b"body"
    assert "http.response.trailers" in fresh.notes("not announced")[0]


def test_trailers_that_frame_are_a_fault(fresh: Server) -> None:
    response = fresh.get("/trailers_that_frame", ("te", "trailers"))
    assert fresh.notes("framing trailer")
    assert response.trailers == [("x-sum", "1")]


# Early hints


def test_early_hints(here: Server) -> None:
    with here.connect() as client:
        response = client.get("/early_hints")
        assert response.body == b"ok"
        first, second = response.interim
        assert (first.status, first.reason) == (103, "Early Hints")
        assert first.headers == [
            ("link", "</a.css>; rel=preload"),
            ("link", "</b.js>; rel=preload"),
        ]
        assert second.headers == [("link", "</c>; rel=next")]
        expect_kept(client)


def test_no_early_hints_for_http_1_0(here: Server) -> None:
    with here.connect() as client:
        client.send(b"GET /early_hints HTTP/1.0\r\n\r\n")
        assert client.rest().startswith(b"HTTP/1.1 200 OK\r\n")


def test_hints_that_come_too_late_or_are_broken_are_faults_that_the_client_does_not_see(
    fresh: Server,
) -> None:
    with fresh.connect() as client:
        response = client.get("/late_hint")
        assert (response.body, response.interim) == (b"body", [])
    assert fresh.notes("broken hint")
    assert "http.response.early_hint" in fresh.notes("late hint")[0]


# Debug


def test_what_is_for_test_clients_is_not_for_others(here: Server) -> None:
    with here.connect() as client:
        assert client.get("/debug").body == b"body"
        expect_kept(client)
