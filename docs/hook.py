"""Writes into the pages of the documentation what the code says, so that it cannot go stale.

A comment in a page is replaced when MkDocs builds it: `<!-- options: THEME -->` by the options of
that theme in `ferricorn --help`, `<!-- refused options -->` by those that are refused,
`<!-- refusals -->` by the answers to malformed requests and `<!-- bounds -->` by the sizes that a
peer may use, the last two out of the Rust sources. Why an option exists that uvicorn lacks is in
`reasons.yaml`, and stands with the option.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml

from ferricorn import cli
from ferricorn.config import defaults
from ferricorn.unsupported import INSTEAD

DOCS = Path(__file__).parent
PROTO = DOCS.parent / "native" / "proto" / "src"

_MARK = re.compile(r"<!-- (options: .+?|refused options|refusals|bounds) -->")

_written: set[str] = set()


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of a page. Called by MkDocs."""
    return _MARK.sub(lambda found: _generated(found[1]), markdown)


def on_post_build(**_: Any) -> None:
    """Fail if a theme of the help has no place in any page. Called by MkDocs."""
    missing = {theme for theme in cli._THEMES if _options_of(theme)} - _written
    if missing:
        raise LookupError(f"no page has the options of {', '.join(sorted(missing))}")


def _generated(mark: str) -> str:
    if mark == "refused options":
        return _table(["Option", "Instead"], [[f"`{_flag(p)}`", _instead(p)] for p in _refused()])
    if mark == "refusals":
        return _table(["Status", "Response body and line of the log"], _refusals())
    if mark == "bounds":
        return _table(["Bound", "Value", "Why"], _bounds())
    theme = mark.removeprefix("options: ")
    if theme not in cli._THEMES:
        raise LookupError(f"there is no theme {theme!r} in the command's help")
    _written.add(theme)
    return "\n".join(_entry(parameter) for parameter in _options_of(theme))


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in lines
    )


# Options


def _flag(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len)


def _options_of(theme: str) -> list[click.Option]:
    return [p for p in shown_options() if _theme(p) == theme]


def _theme(parameter: click.Parameter) -> str:
    name = parameter.name or ""
    return next(theme for theme, names in cli._THEMES.items() if re.fullmatch(names, name))


def shown_options() -> list[click.Option]:
    """Return the options of `ferricorn --help`."""
    return [p for p in cli.PARAMETERS if isinstance(p, click.Option) and not p.hidden]


def _refused() -> list[click.Option]:
    return [p for p in cli.PARAMETERS if isinstance(p, click.Option) and p.hidden]


def _instead(parameter: click.Parameter) -> str:
    text = INSTEAD[parameter.name or ""]
    return text[0].upper() + text[1:] + "."


def _entry(option: click.Option) -> str:
    """Return heading, text, and where the value may come from."""
    flag = _flag(option)
    names, text = option.get_help_record(click.Context(cli.main)) or ("", "")
    # What the default is has a place of its own here.
    text = re.sub(r"\s+\[default: .*\]$", "", text).replace("<", "&lt;")
    text = re.sub(r"'([^' ]+)'|(\$[A-Z_]+)", r"`\1\2`", text)
    facts = [] if "Defaults to" in text else [f"Default: {_default(option)}"]
    if option.envvar:
        variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        facts.append(f"variable `{variables[0]}`")
        facts += [f"TOML key `{flag.removeprefix('--')}`"] if option.expose_value else []
    why = f"*Why:* {reasons()[flag].strip()}\n\n" if flag in reasons() else ""
    heading = f"#### `{names}` {{ #{flag.removeprefix('--')} }}"
    told = " · ".join(facts)
    return f"{heading}\n\n{text}\n\n{why}{told[:1].upper()}{told[1:]}\n"


def _default(option: click.Option) -> str:
    given = re.search(r"\[default: (.*)\]$", option.help or "")
    if given:
        return given[1]
    if option.name == "log_config":
        return "uvicorn's formats"
    value = defaults().get(option.name or "", False if option.is_flag else None)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value in (None, "") else f"`{value}`"


@cache
def reasons() -> dict[str, str]:
    """Return, for each option that uvicorn lacks, why it is there."""
    return yaml.safe_load((DOCS / "reasons.yaml").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


# What the sources of the protocol floor say


def _refusals() -> list[list[str]]:
    text = (PROTO / "error.rs").read_text(encoding="utf-8")
    found = re.findall(r"^ +\w+ (\d+) \"\w+\"\s+\"([^\"]+)\"$", text, re.MULTILINE)
    by_status: dict[str, list[str]] = {}
    for status, reason in found:
        # Who does not speak HTTP yet is not answered in it: the connection is closed.
        by_status.setdefault("none" if status == "0" else status, []).append(reason)
    return [[status, "<br>".join(by_status[status])] for status in sorted(by_status)]


def _bounds() -> list[list[str]]:
    text = (PROTO / "limits.rs").read_text(encoding="utf-8")
    kinds, defaults_of = (
        text.split(f"{start} Limits {{\n", 1)[1].split("\n}\n", 1)[0]
        for start in ("pub struct", "impl Default for")
    )
    values = dict(re.findall(r"(\w+): ([\d_]+),", defaults_of))
    rows = []
    for comment, name in re.findall(r"((?: +/// .*\n)+) +pub (\w+):", kinds):
        words = " ".join(line.strip().removeprefix("///").strip() for line in comment.splitlines())
        what, _, why = words.rstrip(".").partition(". " if ". " in words else ": ")
        rows.append([what, f"{int(values[name]):,}", why and f"{why[0].upper()}{why[1:]}."])
    return rows
