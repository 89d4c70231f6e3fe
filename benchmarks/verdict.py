"""What this project promises about speed and memory, and whether a run bears it out.

A promise is a ratio to a peer in the same run, since little else survives a change of machine; what
does, such as memory, has a limit of its own. A promise whose rows were not measured is left open,
not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from report import MAIN, failed, figure, ratio
from rows import ROWS
from servers import THREADS

if TYPE_CHECKING:
    from report import Rounds

OURS = "ferricorn"
PEERS = {
    "asgi": ("uvicorn", "peregrine", "granian", "gunicorn", "hypercorn", "socketify"),
    # bjoern is not one of them: a promise about it names it.
    "wsgi": ("peregrine", "granian", "gunicorn", "fastpysgi", "uwsgi", "waitress"),
}
_ROWS = {row.name: row for row in ROWS}


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
    Promise("wsgi-hello", 1.1, "bjoern"),
    Promise("wsgi-hello"),
    Promise("flask", 1.0, "bjoern"),
    Promise("flask"),
)


@dataclass(frozen=True)
class Limit:
    """At most, or `at_least`, so many `unit`s, each `size` of a figure, whatever others take."""

    row: str
    figure: str
    limit: float
    unit: str
    size: float = 1
    at_least: bool = False


# Requests per second, and milliseconds for each connection, if threads did nothing but sleep.
_SLEEPS = THREADS / 0.01
_WAIT = _ROWS["wsgi-sleep"].connections / _SLEEPS * 1000

LIMITS = (
    Limit("idle", "memory", 1.5, "KiB each", 1024),
    Limit("ws-idle", "memory", 6.5, "KiB each", 1024),
    Limit("wsgi-sleep", "rate", 0.97 * _SLEEPS, "req/s", at_least=True),
    Limit("wsgi-sleep", "p99", 1.3 * _WAIT, "ms", 1000),
)


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
    compared = [_judge(rounds, promise) for promise in PROMISES if promise.row in rounds]
    return compared + [_judge_alone(rounds, limit) for limit in LIMITS if limit.row in rounds]


def _judge_alone(rounds: Rounds, limit: Limit) -> Verdict:
    bound = "at least" if limit.at_least else "at most"
    words = f"{limit.row}, {limit.figure}: {bound} {limit.limit:,.6g} {limit.unit}"
    if failed(rounds, limit.row, OURS):
        return Verdict(words, f"failed: {rounds[limit.row][OURS]}", False)
    measured = figure(rounds, limit.row, OURS, limit.figure)
    if measured is None:
        return Verdict(words, "not measured", None)
    found = measured / limit.size
    kept = found >= limit.limit if limit.at_least else found <= limit.limit
    return Verdict(words, f"{found:,.2f} {limit.unit}", kept)


def _judge(rounds: Rounds, promise: Promise) -> Verdict:
    row = _ROWS[promise.row]
    name = promise.figure or MAIN[row.kind]
    words = f"{promise.row}, {name}: "
    if failed(rounds, promise.row, OURS):
        return Verdict(words + "measured", f"failed: {rounds[promise.row][OURS]}", False)
    peers = (promise.peer,) if promise.peer else PEERS[row.interface]
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
