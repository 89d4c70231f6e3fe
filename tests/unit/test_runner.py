"""`ferricorn.run`: paths and exit statuses."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import ferricorn
from ferricorn.server import Server


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def run(app: Any = app, **options: Any) -> None:
    ferricorn.run(app, port=0, log_config=None, **options)


def test_an_interrupt_is_a_good_end(native: Any, log: Any) -> None:
    async def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    run(callback_notify=interrupt, timeout_notify=0)
    assert "Finished server process" in log.lines[-1]


def test_a_failed_start_is_status_3(native: Any, log: Any) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed"})

    with pytest.raises(SystemExit) as caught:
        run(failing)
    assert caught.value.code == 3


def test_the_directory_of_the_application_comes_first(
    native: Any, log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(Server, "run", lambda server: setattr(server, "started", True))
    run()
    assert str(tmp_path) not in sys.path
    run(app_dir=str(tmp_path))
    assert sys.path[0] == str(tmp_path)


def test_the_names_of_the_package() -> None:
    assert ferricorn.Server is Server
    assert {"Config", "Server", "main", "run"} == set(ferricorn.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ferricorn.nothing  # noqa: B018
