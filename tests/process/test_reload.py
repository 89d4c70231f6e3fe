"""Reload: what changed is served, what cannot be imported is not, and the port is never closed.

Each test edits an application of its own in a folder of its own, for either way to see changes.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.load import Load
from tests.support.server import Server

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of Unix")

SOURCE = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = {body!r}.encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})
"""

DETECTED = r"^WARNING:  (WatchFiles|StatReload) detected changes in 'edited\.py'\. Reloading\.\.\.$"
ENDED = "Finished server process"


@pytest.fixture(params=["WatchFiles", "StatReload"])
def edited(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Options for a server of `edited.py`, which says what `write` wrote."""
    write(tmp_path, "one")
    path = tmp_path / "path"
    path.mkdir()
    if request.param == "StatReload":
        (path / "watchfiles.py").write_text("raise ImportError")
    else:
        pytest.importorskip("watchfiles")
    env = {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    return {"cwd": tmp_path, "env": env, "reload": True, "reload_delay": 0.05}


def write(folder: Path, body: str | None, source: str = SOURCE) -> None:
    """Have the application answer this; None is a file that cannot be imported."""
    draft = folder / "draft"
    draft.write_text("def" if body is None else source.format(body=body))
    os.replace(draft, folder / "edited.py")


def start(server: StartServer, options: dict[str, Any], **more: Any) -> Server:
    fresh = server("edited:app", **options, **more)
    assert fresh.get("/").text == "one"
    return fresh


@pytest.mark.parametrize("workers", [1, 2])
def test_a_change_is_served_and_no_request_is_lost(
    server: StartServer, edited: dict[str, Any], tmp_path: Path, workers: int
) -> None:
    fresh = start(server, edited, workers=workers)
    with Load(fresh) as load:
        write(tmp_path, "two")
        fresh.wait_for(DETECTED)
        fresh.wait_for_count(ENDED, workers)
    assert not load.failures
    assert fresh.get("/").text == "two"
    assert fresh.stop() == 0
    assert fresh.lines(r"Will watch for changes in these directories: \['" + str(tmp_path))
    assert fresh.lines(r"Started reloader process \[\d+\] using (WatchFiles|StatReload)")
    assert fresh.log[-1].endswith(f"Stopping reloader process [{fresh.pid}]")


def test_what_cannot_be_imported_leaves_what_was(
    server: StartServer, edited: dict[str, Any], tmp_path: Path
) -> None:
    fresh = start(server, edited)
    write(tmp_path, None)
    fresh.wait_for("SyntaxError")
    fresh.wait_for("did not start")
    assert fresh.get("/").text == "one"
    write(tmp_path, "mended")
    fresh.wait_for(ENDED)
    assert fresh.get("/").text == "mended"


def test_a_start_that_fails_waits_for_the_mending(
    server: StartServer, edited: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path, None)
    fresh = server("edited:app", **edited)
    fresh.wait_for(r"Child process \[\d+\] died \(exit status 1\)")
    with fresh.connect() as client:
        client.request("GET", "/")
        write(tmp_path, "mended")
        assert client.response().text == "mended"
    assert fresh.stop(signal.SIGTERM) == 0


def test_patterns(server: StartServer, edited: dict[str, Any], tmp_path: Path) -> None:
    for name in ("left", "kept"):
        (tmp_path / name).mkdir()
    options = {"reload_include": "*.html", "reload_exclude": str(tmp_path / "left")}
    fresh = start(server, edited, **options)
    (tmp_path / "left" / "page.html").touch()
    (tmp_path / "kept" / "page.txt").touch()
    (tmp_path / "kept" / "page.html").touch()
    fresh.wait_for(ENDED)
    changes = fresh.lines("detected changes")
    assert [("page.txt" in line, "left" in line) for line in changes] == [(False, False)]
