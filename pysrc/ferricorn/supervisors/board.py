"""Memory that the parent and its workers share: a word for each worker's number of connections.

The workers' native floors read and write it, so that none of them accepts much more than its share;
the parent gives out the places, and clears the word of a worker that is dead. The memory is
an anonymous file, as a child that is spawned needs a descriptor. Where there are no such files the
workers share nothing, and accept as they come.
"""

from __future__ import annotations

import mmap
import os
from multiprocessing import reduction
from typing import Any

_WORD = 8
_PLACES = mmap.PAGESIZE // _WORD


class Board:
    """The words of all workers; may be sent to a child that starts."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.memory = mmap.mmap(fd, _PLACES * _WORD)
        self._free = list(range(_PLACES))

    @classmethod
    def open(cls) -> Board | None:
        """Return a fresh board; None where the system has none."""
        if not hasattr(os, "memfd_create"):
            return None
        try:
            fd = os.memfd_create("ferricorn")
            os.truncate(fd, _PLACES * _WORD)
        except OSError:  # A sandbox may refuse it; balance is not worth a start that fails.
            return None
        return cls(fd)

    def take(self) -> int | None:
        """Return a place for a worker, None if all are taken."""
        return self._free.pop() if self._free else None

    def give_back(self, place: int) -> None:
        """Clear the word of a worker that is gone."""
        self.memory[place * _WORD : (place + 1) * _WORD] = bytes(_WORD)
        self._free.append(place)

    def close(self) -> None:
        """Give the memory back."""
        self.memory.close()
        os.close(self._fd)

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (reduction.DupFd(self._fd),)


def _receive(passed: Any) -> Board:
    return Board(passed.detach())
