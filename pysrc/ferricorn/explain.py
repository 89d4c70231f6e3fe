"""The table of `--explain`: each option, its value in effect, and where that came from.

Values are what `Config` made of them, so a number of workers is a number where `auto` was given. A
password is not shown, and neither are the values of headers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from click.core import ParameterSource

if TYPE_CHECKING:
    import click

    from ferricorn.config import Config

# Variables that are older than this server, read where neither flag nor file nor variable of
# the option's own says anything.
_OTHER_VARIABLES = {"workers": "WEB_CONCURRENCY", "forwarded_allow_ips": "FORWARDED_ALLOW_IPS"}


def explain(context: click.Context, config: Config, file: str | None) -> str:
    """Return the table, a line for each option. `file` is the settings file."""
    rows = [("option", "value", "from")]
    for parameter in context.command.params:
        name = parameter.name or ""
        if not parameter.expose_value or name in ("check_config", "explain"):
            continue
        value = getattr(config, name, context.params[name])
        if name == "log_config" and not context.params[name]:
            value = None
        flag = max(parameter.opts, key=len)
        rows.append((flag, _shown(name, value), source(context, parameter, file)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows)


def source(context: click.Context, parameter: click.Parameter, file: str | None) -> str:
    """Return where the value of a parameter comes from."""
    name = parameter.name or ""
    found = context.get_parameter_source(name)
    if found is ParameterSource.COMMANDLINE:
        return "command line"
    if found is ParameterSource.ENVIRONMENT:
        names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
        return next(f"${each}" for each in names if os.environ.get(each))
    if found is ParameterSource.DEFAULT_MAP:
        return str(file)
    other = _OTHER_VARIABLES.get(name)
    return f"${other}" if other and os.environ.get(other) else "default"


def _shown(name: str, value: Any) -> str:
    if value is None or value in ("", []):
        return "-"
    if name.endswith("password"):
        return "(given)"
    if name == "headers":
        return ", ".join(key for key, _ in value)
    if name == "uds_permissions":
        return f"{value:o}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
