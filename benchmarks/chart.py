"""Draws the table as a picture: for each row one line, on it a dot for each server.

The place of a dot is a ratio to uvicorn, on a logarithmic scale, because a factor of two is as much
to the left as to the right. The card has a background of its own, so that it reads the same on a
light and on a dark page.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from report import MAIN, ratio

if TYPE_CHECKING:
    from report import Rounds
    from rows import Row

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
_COLOURS = {
    "ferricorn": "#d55e00",
    "peregrine": "#0072b2",
    "granian": "#009e73",
    "uvicorn": "#000000",
    "gunicorn": "#cc79a7",
    "hypercorn": "#999999",
    "socketify": "#e69f00",
}
_LEFT, _RIGHT, _TOP, _STEP, _WIDTH = 230, 40, 92, 30, 880
_LOWEST, _HIGHEST = 1 / 32, 16
_TICKS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16)


def chart(rounds: Rounds, rows: list[Row]) -> str:
    """Return an SVG document of the rows that have a ratio to uvicorn, which are those for ASGI."""
    shown = [row for row in rows if _ratios(rounds, row)]
    bottom = _TOP + _STEP * len(shown)
    height = bottom + 64
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        f'width="{_WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="13">',
        "<title>CPU time for each request, compared with uvicorn</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
        _text(20, 30, "CPU time for each request, uvicorn = 1", size=17, weight="600"),
        *_legend([name for name in _COLOURS if any(name in _ratios(rounds, row) for row in shown)]),
        *_scale(bottom),
    ]
    for number, row in enumerate(shown):
        parts += _row(row, _ratios(rounds, row), _TOP + _STEP * number + _STEP // 2)
    note = "Left is better; logarithmic scale. Idle: memory of a connection. Lag: p99. Start: time."
    parts += [_text(_LEFT, height - 16, note, colour="#555555"), "</svg>"]
    return "\n".join(parts) + "\n"


def _ratios(rounds: Rounds, row: Row) -> dict[str, float]:
    found = {name: ratio(rounds, row.name, name, "uvicorn", MAIN[row.kind]) for name in _COLOURS}
    return {name: value for name, value in found.items() if value}


def _legend(names: list[str]) -> list[str]:
    parts: list[str] = []
    for number, name in enumerate(names):
        x = _LEFT + 100 * number
        parts += [_dot(x, 56, name, _COLOURS[name]), _text(x + 11, 60, name)]
    return parts


def _scale(bottom: int) -> list[str]:
    parts: list[str] = []
    for tick in _TICKS:
        x = _place(tick)
        colour = "#888888" if tick == 1 else "#e2e2e2"
        label = f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}"
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}"/>'
        )
        parts.append(_text(x, bottom + 18, label, anchor="middle", colour="#555555"))
    return parts


def _row(row: Row, ratios: dict[str, float], y: int) -> list[str]:
    parts = [
        _text(_LEFT - 16, y + 4, row.title, anchor="end"),
        f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" stroke="#f0f0f0"/>',
    ]
    # Ours last, so that it lies on top.
    for name, value in reversed(ratios.items()):
        label = f"{row.title}: {name} {value:.2f} of uvicorn"
        parts.append(_dot(_place(value), y, name, _COLOURS[name], label))
    if "ferricorn" in ratios:
        at = max(_place(ratios["ferricorn"]) - 11, _LEFT + 34)
        words, colour = f"{ratios['ferricorn']:.2f}", _COLOURS["ferricorn"]
        parts.append(_text(at, y + 4, words, anchor="end", colour=colour, weight="600"))
    return parts


def _place(value: float) -> float:
    inside = min(max(value, _LOWEST), _HIGHEST)
    share = math.log(inside / _LOWEST) / math.log(_HIGHEST / _LOWEST)
    return _LEFT + share * (_WIDTH - _RIGHT - _LEFT)


def _dot(x: float, y: float, name: str, colour: str, label: str = "") -> str:
    radius = 7 if name == "ferricorn" else 5
    title = f"<title>{escape(label)}</title>" if label else ""
    return (
        f'<circle cx="{x:.1f}" cy="{y}" r="{radius}" fill="{colour}" stroke="#ffffff">'
        f"{title}</circle>"
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: int = 13,
    anchor: str = "start",
    colour: str = "#111111",
    weight: str = "400",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )
