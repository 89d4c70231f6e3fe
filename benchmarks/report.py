"""The figures as text: for each row what each server took, and how that compares.

A figure is the median of the rounds. A ratio is the median of the ratios that single rounds gave,
since a machine drifts between rounds more than within one.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rows import Row

# rounds[row][server] is one dict of figures for each round, or what went wrong.
Rounds = dict[str, dict[str, "list[dict[str, float]] | str"]]

REFERENCES = {"asgi": ("uvicorn", "peregrine"), "wsgi": ("bjoern", "peregrine")}
# More than a system's background work.
DISTURBED = 0.05

# The figure by which a kind of row is compared.
MAIN = {
    "load": "total",
    "messages": "total",
    "idle": "memory",
    "quiet": "memory",
    "start": "start",
    "lag": "lag",
}
# The kinds with a single figure: what it is called and by what it is divided.
_ALONE = {"idle": ("KiB each", 1024), "quiet": ("KiB each", 1024), "start": ("ms", 0.001)}


def figure(rounds: Rounds, row: str, server: str, name: str) -> float | None:
    """Return the median of a figure, or None where it was not measured."""
    found = rounds.get(row, {}).get(server)
    if not found or isinstance(found, str) or name not in found[0]:
        return None
    return median(one[name] for one in found)


def ratio(rounds: Rounds, row: str, server: str, other: str, name: str) -> float | None:
    """Return the median over the rounds of `server` divided by `other`."""
    ours, theirs = (rounds.get(row, {}).get(each) for each in (server, other))
    if not ours or not theirs or isinstance(ours, str) or isinstance(theirs, str):
        return None
    pairs = [
        (a[name], b[name]) for a, b in zip(ours, theirs, strict=False) if name in a and name in b
    ]
    return median(a / b for a, b in pairs if b) if any(b for _, b in pairs) else None


def failed(rounds: Rounds, row: str, server: str) -> bool:
    """Whether `server` was asked for `row` and did not stand it."""
    return isinstance(rounds.get(row, {}).get(server), str)


def table(rounds: Rounds, rows: list[Row], servers: list[str]) -> str:
    """Return the text of the table."""
    lines: list[str] = []
    for row in rows:
        if row.name not in rounds:
            continue
        lines += ["", f"{row.title}  [{row.name}]{_disturbance(rounds, row)}", _heading(row)]
        lines += [_line(rounds, row, server) for server in servers if server in rounds[row.name]]
    return "\n".join(lines) + "\n"


def _disturbance(rounds: Rounds, row: Row) -> str:
    """What else the machine did: figures of a machine that is busy otherwise are to be doubted."""
    shares = [
        one["others"]
        for found in rounds[row.name].values()
        if not isinstance(found, str)
        for one in found
        if "others" in one
    ]
    if not shares or median(shares) < DISTURBED:
        return ""
    return f"  (disturbed: other programs took {median(shares):.0%} of a core)"


def _heading(row: Row) -> str:
    references = "".join(f"{'/' + name:>11}" for name in REFERENCES[row.interface])
    if row.kind in _ALONE:
        return f"  {'':12}{_ALONE[row.kind][0]:>10}{references}"
    lag = f"{'lag p99 us':>12}{references}" if row.kind == "lag" else references
    return (
        f"  {'us CPU/request':14}{'user':>6}{'kernel':>8}{'total':>8}{lag}{'user':>8}{'spread':>8}"
        f"{'req/s':>10}{'p99 us':>11}{'core':>6}{'bytes':>9}"
    )


def _line(rounds: Rounds, row: Row, server: str) -> str:
    found = rounds[row.name][server]
    if isinstance(found, str):
        return f"  {server:12}  failed: {found}"

    def value(name: str) -> float:
        return figure(rounds, row.name, server, name) or 0.0

    main = MAIN[row.kind]
    ratios = "".join(
        f"{_ratio(ratio(rounds, row.name, server, other, main)):>11}"
        for other in REFERENCES[row.interface]
    )
    if row.kind in _ALONE:
        return f"  {server:12}{value(main) / _ALONE[row.kind][1]:>10.2f}{ratios}"
    lag = f"{value('lag'):>12.0f}{ratios}" if row.kind == "lag" else ratios
    totals = [one["total"] for one in found]
    spread = (max(totals) - min(totals)) / median(totals)
    user = _ratio(ratio(rounds, row.name, server, "peregrine", "user"))
    return (
        f"  {server:12}{value('user'):>8.2f}{value('kernel'):>8.2f}{value('total'):>8.2f}{lag}"
        f"{user:>8}{spread:>8.0%}{value('rate'):>10,.0f}"
        f"{_latency(figure(rounds, row.name, server, 'p99')):>11}"
        f"{value('busy'):>6.0%}{value('bytes'):>9,.0f}"
    )


def _latency(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
