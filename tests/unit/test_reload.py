"""What counts as a change of the source: patterns, and what the look at files finds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ferricorn import Config
from ferricorn.supervisors.basereload import FileFilter
from ferricorn.supervisors.statreload import StatReload


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def config(folder: Path, **options: Any) -> Config:
    return Config("app:app", reload=True, reload_dirs=[str(folder)], log_config=None, **options)


@pytest.mark.parametrize(
    ("options", "path", "counts"),
    [
        ({}, "module.py", True),
        ({}, "deep/er/module.py", True),
        ({}, "page.html", False),
        ({}, ".hidden.py", False),
        ({}, "module.pyc", False),
        ({}, "~module.py", False),
        ({}, ".sw.py", False),
        ({"reload_includes": ["*.html"]}, "page.html", True),
        ({"reload_includes": ["*.html"]}, "module.py", True),
        ({"reload_includes": ["*.html"], "reload_excludes": ["*.py"]}, "module.py", False),
        ({"reload_includes": [".*"]}, ".hidden.py", True),
        ({"reload_includes": ["conf.toml"]}, "deep/conf.toml", True),
        ({"reload_excludes": ["made_*.py"]}, "made_one.py", False),
        ({"reload_excludes": ["{}/left"]}, "left/module.py", False),
        ({"reload_excludes": ["{}/left"]}, "leftover/module.py", True),
    ],
)
def test_patterns(tmp_path: Path, options: dict[str, list[str]], path: str, counts: bool) -> None:
    (tmp_path / "left").mkdir()
    options = {name: [each.format(tmp_path) for each in value] for name, value in options.items()}
    assert FileFilter(config(tmp_path, **options))(tmp_path / path) is counts


@pytest.fixture
def look(tmp_path: Path) -> Any:
    """Return a function that tells the names of what has changed since its last call."""
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "old.py").touch()
    watcher = StatReload(config(tmp_path, reload_delay=0))
    return lambda: {path.name for path in watcher.should_restart() or ()}


def test_new_changed_and_removed_files_are_changes(look: Any, tmp_path: Path) -> None:
    old, new = tmp_path / "package" / "old.py", tmp_path / "new.py"
    assert look() == set()
    new.touch()
    assert look() == {"new.py"}
    os.utime(old, ns=(0, old.stat().st_mtime_ns + 1))
    assert look() == {"old.py"}
    old.unlink()
    new.rename(tmp_path / "renamed.py")
    assert look() == {"old.py", "new.py", "renamed.py"}
    assert look() == set()


@pytest.mark.parametrize("name", ["page.txt", "node_modules/module.py"])
def test_what_does_not_count_is_no_change(look: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert look() == set()
