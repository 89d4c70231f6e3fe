"""Which folders to watch for changes of the source, from what the user named.

A name may be a folder, or a pattern that matches folders below the current one. A folder within
another one needs no watch of its own.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

logger = logging.getLogger("uvicorn.error")


class Watched(NamedTuple):
    """The folders that are watched, and which files in them count."""

    dirs: list[Path]
    dirs_excludes: list[Path]
    includes: list[str]
    excludes: list[str]


def choose_watched(directories: list[str], includes: list[str], excludes: list[str]) -> Watched:
    """Return what to watch: the folders that exist of those named, else the current one."""
    patterns, found = resolve_reload_patterns(includes, directories)
    unwanted_patterns, unwanted = resolve_reload_patterns(excludes, [])
    dirs = [each for each in found if not {*unwanted} & {each, *each.parents}]
    if not dirs:
        if directories:
            logger.warning(
                "Provided reload directories %s did not contain valid directories, watching "
                "current working directory.",
                directories,
            )
        dirs = [Path.cwd()]
    logger.info("Will watch for changes in these directories: %s", sorted(map(str, dirs)))
    patterns = [each for each in patterns if each not in excludes]
    return Watched(dirs, unwanted, patterns, unwanted_patterns)


def resolve_reload_patterns(
    patterns_list: list[str], directories_list: list[str]
) -> tuple[list[str], list[Path]]:
    """Return the patterns, and the outermost existing folders that they and the list name."""
    named = [Path(each) for each in directories_list]
    for pattern in patterns_list:
        # Hidden folders are nothing that anybody means by this one.
        if pattern == ".*":
            continue
        if _is_dir(Path(pattern)):
            named.append(Path(pattern))
        elif not Path(pattern).is_absolute():
            named += Path.cwd().glob(pattern)
    folders = {path.resolve() for path in named if _is_dir(path)}
    outermost = [each for each in folders if not folders & set(each.parents)]
    return list(dict.fromkeys(patterns_list)), outermost


def as_list(names: list[str] | str | None) -> list[str]:
    """Return the names that an option gives as one, several or none."""
    return [names] if isinstance(names, str) else list(names or [])


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # Too long for a name, or, on Windows, no name at all.
        return False
