"""What this project promises about speed and memory, and whether a run bears it out.

A promise is a ratio to a peer in the same run, since nothing else survives a change of machine; the
one about memory is in bytes. A promise whose rows were not measured is left open, not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from report import MAIN, failed, figure, ratio
from rows import ROWS

if TYPE_CHECKING:
    from report import Rounds

OURS = "ferricorn"
PEERS = ("uvicorn", "peregrine", "granian", "gunicorn", "hypercorn", "socketify")
_KINDS = {row.name: row.kind for row in ROWS}


@dataclass(frozen=True)
class Promise:
    """At most `limit` times what `peer` takes; without a peer, below every one measured."""

    row: str
    limit: float = 1.0
    peer: str = ""
    figure: str = ""


PROMISES = (
    Promise("hello", 0.36, "uvicorn"),
    Promise("hello", 0.90, "peregrine"),
    Promise("hello", 0.65, "peregrine", "user"),
    Promise("browser", 1.0, "peregrine"),
    Promise("post", 1.0, "peregrine"),
    Promise("many", 1.0, "peregrine"),
    Promise("sleep", 1.0, "peregrine"),
    Promise("stream"),
    Promise("pipelined", 0.5, "peregrine"),
    Promise("starlette"),
    Promise("fastapi"),
    Promise("threaded"),
    Promise("start", 1.0, "uvicorn"),
    Promise("start-fastapi", 1.0, "uvicorn"),
    Promise("lag", 1.0, "uvicorn"),
    Promise("ws-16", 0.43, "uvicorn"),
    Promise("ws-16", 1.0, "peregrine"),
    Promise("ws-64k", 0.5, "uvicorn"),
)
# An idle connection that is kept, and an open WebSocket: bytes of resident memory.
IDLE_LIMITS = {"idle": 1.5 * 1024, "ws-idle": 6.5 * 1024}


@dataclass(frozen=True)
class Verdict:
    """A promise, as words, with what was found; `kept` is None where nothing was."""

    promise: str
    found: str
    kept: bool | None

    def line(self) -> str:
        """Return the verdict as a line of the report."""
        mark = {True: "holds", False: "FAILS", None: "open"}[self.kept]
        return f"  {mark:6} {self.promise}: {self.found}"


def verdicts(rounds: Rounds) -> list[Verdict]:
    """Judge every promise whose row is part of `rounds`."""
    found = [_judge(rounds, promise) for promise in PROMISES if promise.row in rounds]
    for row, limit in IDLE_LIMITS.items():
        if row not in rounds:
            continue
        memory = figure(rounds, row, OURS, "memory")
        words = f"{row}: a connection takes at most {limit / 1024} KiB"
        if memory is None:
            found.append(Verdict(words, "not measured", None))
        else:
            found.append(Verdict(words, f"{memory / 1024:.2f} KiB", memory <= limit))
    return found


def _judge(rounds: Rounds, promise: Promise) -> Verdict:
    name = promise.figure or MAIN[_KINDS[promise.row]]
    words = f"{promise.row}, {name}: "
    if failed(rounds, promise.row, OURS):
        return Verdict(words + "measured", f"failed: {rounds[promise.row][OURS]}", False)
    peers = (promise.peer,) if promise.peer else PEERS
    ratios = {peer: ratio(rounds, promise.row, OURS, peer, name) for peer in peers}
    known = {peer: found for peer, found in ratios.items() if found is not None}
    if promise.peer:
        words += f"at most {promise.limit:.2f} of {promise.peer}'s"
    else:
        words += f"below every peer's ({len(known)} measured)"
    if not known:
        return Verdict(words, "not measured", None)
    nearest = max(known, key=lambda peer: known[peer])
    worst = known[nearest]
    kept = worst <= promise.limit if promise.peer else worst < promise.limit
    return Verdict(words, f"{worst:.2f} of {nearest}'s", kept)
