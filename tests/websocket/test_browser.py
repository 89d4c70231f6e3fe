"""A page in Chromium, which opens WebSockets as every page does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import DRIVERS, StartServer
from tests.support.server import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Nothing but the page: no sandbox (tests run as root too), no updates, no services.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_page(server: StartServer, driver: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    here = server("tests.apps.browsing:app", driver=driver)
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}", here.url]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(tmp_path)},
    ) as browser:
        try:
            (found,) = here.notes("found")
        finally:
            browser.terminate()
            browser.wait(PATIENCE)
    opened = ["open", "", DEFLATE]
    assert found == [
        opened,
        ["text", "hello wörld"],
        ["text", ""],
        ["binary", 100_000],
        ["binary", 4],
        ["close", 3001, "enough", True],
        ["open", "chat", DEFLATE],
        ["text", "a" * 1000],
        ["close", 1000, "", True],
        opened,
        ["close", 4000, "bye", True],
        ["error"],
        ["close", 1006, "", False],
    ]
    here.wait_for('"WebSocket /refuses" 403')
    assert not here.lines("Traceback|ERROR")
