"""How many processors this process may keep busy: what `--workers auto` stands for.

The machine's number is no use in a container. What counts is the set of processors that the
scheduler allows, and the share of time that control groups grant, of this group and each above it
(Linux: cgroups(7), version 2 `cpu.max`, version 1 `cpu.cfs_quota_us`). A share of one and a half
needs two processes to be used up.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def usable_processors(root: Path = Path("/")) -> int:
    """Return the number, at least 1. `root` is where `proc` and `sys` are."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # Not on macOS.
        count = os.cpu_count() or 1
    return max(1, min([count, *(math.ceil(share) for share in _shares(root))]))


def _shares(root: Path) -> Iterator[float]:
    """Yield the processors that each group on the way up may use, of those with a limit."""
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files, mount = ["cpu.max"], mounts
        elif "cpu" in controllers.split(","):
            files, mount = ["cpu.cfs_quota_us", "cpu.cfs_period_us"], mounts / controllers
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            words = [word for name in files for word in _read(folder / name).split()]
            # No limit is "max" in version 2, and -1 in version 1.
            if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:
                yield int(words[0]) / int(words[1])
            if folder == mount:
                break


def _read(path: Path) -> str:
    """Return what the file says, nothing if it is not there."""
    with suppress(OSError):
        return path.read_text()
    return ""
