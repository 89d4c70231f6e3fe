"""Finds changes by looking at the time of every file, again and again: needs no package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ferricorn.supervisors.basereload import BaseReload, FileFilter

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from ferricorn.config import Config

# Where nobody edits, and where there are many files.
_SKIPPED = {"__pycache__", "node_modules", "site-packages"}


class StatReload(BaseReload):
    """Compares what is there with what was: new, changed and removed files are changes."""

    reloader_name = "StatReload"

    def __init__(
        self,
        config: Config,
        target: Callable[..., None] | None = None,
        sockets: list[socket.socket] | None = None,
    ) -> None:
        super().__init__(config, target, sockets)
        self._filter = FileFilter(config)
        # Taken before the first worker imports, so that no change falls between.
        self.mtimes = self._look()

    def should_restart(self) -> list[Path] | None:
        """Return the files that differ from the last look."""
        self.pause()
        before, self.mtimes = self.mtimes, self._look()
        paths = before.keys() | self.mtimes.keys()
        return [path for path in paths if before.get(path) != self.mtimes.get(path)] or None

    def _look(self) -> dict[Path, int]:
        return dict(self._files())

    def _files(self) -> Iterator[tuple[Path, int]]:
        for directory in self.config.reload_dirs or ():
            for folder, folders, names in os.walk(directory):
                folders[:] = [
                    each for each in folders if each not in _SKIPPED and not each.startswith(".")
                ]
                for name in names:
                    path = Path(folder, name)
                    if self._filter(path):
                        try:
                            yield path, path.stat().st_mtime_ns
                        except OSError:  # Removed meanwhile.
                            continue
