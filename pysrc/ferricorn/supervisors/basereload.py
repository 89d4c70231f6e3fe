"""A parent that replaces its workers when the source changes.

The rule of `Multiprocess` holds here too: the old workers serve until new ones do, so a change that
cannot be imported leaves what was served before, and the listening socket is open all the time.
Whoever looks for changes does so in a thread of its own, by a loop of `pause()` and
`should_restart()`; what it finds is acted on in the parent's own turn.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ferricorn.logging import paint
from ferricorn.supervisors.multiprocess import Multiprocess

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from ferricorn.config import Config

_INCLUDES = ["*.py"]
_EXCLUDES = [".*", ".py[cod]", ".sw.*", "~*"]

logger = logging.getLogger("uvicorn.error")


class BaseReload(Multiprocess):
    """Runs the workers, and replaces them when `should_restart()` returns files."""

    keeps_trying = False
    reloader_name = "reloader"

    def __init__(
        self,
        config: Config,
        target: Callable[..., None] | None = None,
        sockets: list[socket.socket] | None = None,
    ) -> None:
        super().__init__(config, sockets or [], target)
        self.pid = os.getpid()
        self._changes: list[Path] = []
        self._thread = threading.Thread(target=self._watch, name="reloader", daemon=True)

    def run(self) -> None:
        """Watch, and do what every parent does."""
        text = f"Started reloader process [%d] using {self.reloader_name}"
        coloured = f"{paint('%d', 'cyan')}] using {paint(self.reloader_name, 'cyan')}"
        logger.info(
            text,
            self.pid,
            extra={"color_message": f"Started reloader process [{coloured}"},
        )
        self._thread.start()
        super().run()
        logger.info("Stopping reloader process [%d]", self.pid)

    def keep_subprocess_alive(self) -> None:
        """Replace the workers if the source has changed, and see to them."""
        changes, self._changes = self._changes, []
        if changes and not self.should_exit.is_set():
            names = ", ".join(sorted({_display(path) for path in changes}))
            logger.warning("%s detected changes in %s. Reloading...", self.reloader_name, names)
            self.restart_all()
        super().keep_subprocess_alive()

    def _watch(self) -> None:
        for changes in self:
            if changes:
                self._changes = [*self._changes, *changes]
                self.wake()

    def __iter__(self) -> Iterator[list[Path] | None]:
        return self

    def __next__(self) -> list[Path] | None:
        return self.should_restart()

    def pause(self) -> None:
        """Wait until it is time for the next look; ends the iteration at the end."""
        if self.should_exit.wait(self.config.reload_delay):
            raise StopIteration

    def should_restart(self) -> list[Path] | None:
        """Return the files that have changed since the last call."""
        raise NotImplementedError("a reloader says which files have changed")


class FileFilter:
    """Which files count: the patterns of the configuration beside those that are always there."""

    def __init__(self, config: Config) -> None:
        includes, excludes = config.reload_includes or [], config.reload_excludes or []
        self.includes = {*includes, *(each for each in _INCLUDES if each not in excludes)}
        self.excludes = {each for each in _EXCLUDES if each not in includes}
        self.exclude_dirs: list[Path] = []
        for each in excludes:
            if Path(each).is_dir():
                self.exclude_dirs.append(Path(each).resolve())
            else:
                self.excludes.add(each)

    def __call__(self, path: Path) -> bool:
        """Return whether a change of this file matters. A file that is named outright does."""
        for pattern in filter(path.match, self.includes):
            if str(path).endswith(pattern):
                return True
        return (
            any(path.match(pattern) for pattern in self.includes)
            and not any(folder in path.parents for folder in self.exclude_dirs)
            and not any(path.match(pattern) for pattern in self.excludes)
        )


def _display(path: Path) -> str:
    try:
        return f"'{path.relative_to(Path.cwd())}'"
    except ValueError:
        return f"'{path}'"
