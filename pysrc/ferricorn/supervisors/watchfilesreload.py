"""Finds changes by what the operating system reports, through the package watchfiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import watch

from ferricorn.supervisors.basereload import BaseReload, FileFilter

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ferricorn.config import Config


class WatchFilesReload(BaseReload):
    """Asks the system for changes, and leaves out those that do not count."""

    reloader_name = "WatchFiles"

    def __init__(
        self,
        config: Config,
        target: Callable[..., None] | None = None,
        sockets: list[socket.socket] | None = None,
    ) -> None:
        super().__init__(config, target, sockets)
        self._filter = FileFilter(config)
        self.watcher = watch(
            *(config.reload_dirs or ()),
            watch_filter=None,
            stop_event=self.should_exit,
            yield_on_timeout=True,
            rust_timeout=500,
            debounce=400,
            ignore_permission_denied=True,
            raise_interrupt=False,
        )

    def should_restart(self) -> list[Path] | None:
        """Wait for changes and return the files."""
        self.pause()
        changed = {Path(path) for _, path in next(self.watcher)}
        return [path for path in changed if self._filter(path)] or None
