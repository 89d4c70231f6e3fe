"""What a process still does, as a table for its log.

A row is what the native floor tells: since when, what is going on, and whose it is. Applications
may have written anything into their scopes, and clients choose their targets: no cell holds a
character that does not print, and neither rows nor cells are without bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferricorn.logging import client_addr, path_with_query

if TYPE_CHECKING:
    from ferricorn.typing import InFlight

_ROWS = 20
_LONGEST = 120

_HEADS = ("seconds", "client", "request", "state")


def table(rows: list[InFlight]) -> str:
    """Return the oldest rows under a line of heads, and how many more there are."""
    oldest = sorted(rows, key=lambda row: row[0], reverse=True)
    cells = [_HEADS, *(_cells(row) for row in oldest[:_ROWS])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for seconds, *others in cells:
        padded = (text.ljust(width) for text, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([seconds.rjust(widths[0]), *padded]).rstrip())
    if len(rows) > _ROWS:
        lines.append(f"... and {len(rows) - _ROWS} more")
    return "\n".join(lines)


def _cells(row: InFlight) -> tuple[str, str, str, str]:
    age, state, scope, client = row
    scope = {"client": client} if scope is None else _scope(scope)
    who, what = _tell(client_addr, scope), _tell(_request, scope) if "method" in scope else "-"
    return f"{age:.1f}", who or "-", what, state


def _scope(given: dict[str, Any]) -> dict[str, Any]:
    """Return a scope as it is, and what a WSGI environ says as one."""
    if "REQUEST_METHOD" not in given:
        return given
    return {
        "client": (given.get("REMOTE_ADDR"), given.get("REMOTE_PORT")),
        "method": given["REQUEST_METHOD"],
        "path": given["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
        "query_string": given["QUERY_STRING"].encode("latin-1"),
    }


def _request(scope: dict[str, Any]) -> str:
    return f"{scope['method']} {path_with_query(scope)}"


def _tell(what: Any, scope: dict[str, Any]) -> str:
    try:
        text = str(what(scope))
    except Exception:  # Whatever the application made of its scope.
        return "?"
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
