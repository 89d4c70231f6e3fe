"""When a worker is to be replaced, and when a new one may be started.

The judgements of the parent, apart from what it does about them. A worker that dies young is
likely to do so again: each such death doubles the time until the next start, up to half a minute,
and a worker that lived takes it back.
"""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ferricorn.config import Config
    from ferricorn.supervisors.process import Process

_YOUNG = 10.0
_FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0

_MIB = 1 << 20


class Upkeep:
    """What the options demand of each worker, and the memory of failed starts."""

    def __init__(self, config: Config) -> None:
        self._healthcheck = config.timeout_worker_healthcheck
        self._max_rss = config.worker_max_rss
        self._lifetime = config.worker_lifetime
        self._jitter = config.worker_lifetime_jitter
        self._lifetimes: WeakKeyDictionary[Process, float] = WeakKeyDictionary()
        self._deaths = 0
        self._not_before = 0.0

    def reason_to_replace(self, process: Process) -> str | None:
        """Return why a worker should be replaced, None if it should not. One that starts never."""
        if not process.ready:
            return None
        if not process.is_alive(self._healthcheck):
            return f"its event loop has not turned for {self._healthcheck:g} seconds"
        if process.at_limit:
            return "it has reached its limit and asks for it"
        if self._max_rss and (used := process.memory()) > self._max_rss * _MIB:
            return f"it uses {used // _MIB} MiB of memory and may use {self._max_rss}"
        if self._lifetime and process.age > self._lifetime_of(process):
            return f"it is {process.age:.0f} seconds old"
        return None

    def _lifetime_of(self, process: Process) -> float:
        assert self._lifetime is not None
        jitter = random.uniform(0, self._jitter)
        return self._lifetimes.setdefault(process, self._lifetime + jitter)

    def may_start(self) -> bool:
        """Return whether a worker may be started now."""
        return time.monotonic() >= self._not_before

    def note_death(self, age: float) -> None:
        """Remember that a worker died of its own at this age, in seconds."""
        self._deaths = self._deaths + 1 if age < _YOUNG else 0
        # The first is replaced at once: a kill by hand or by the kernel is nobody's habit.
        delay = _FIRST_DELAY * 2 ** min(self._deaths - 2, 10) if self._deaths > 1 else 0.0
        self._not_before = time.monotonic() + min(delay, _LONGEST_DELAY)

    def wait_for_change(self) -> None:
        """Start nothing until `forget_failures`."""
        self._not_before = math.inf

    def forget_failures(self) -> None:
        """Start again at once: something has changed."""
        self._deaths = 0
        self._not_before = 0.0
