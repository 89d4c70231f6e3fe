"""Options from a file: TOML, `[tool.ferricorn]` of a `pyproject.toml` or a file of their own.

Owns finding, reading and checking names. A key is an option as the command line has it, without its
dashes in front (`log-level`), or the parameter of `Config` (`log_level`). What a value may be, the
command line says as it does for a flag. A file that says nothing of this server is not parsed:
Python 3.10 needs a package for that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROJECT = "pyproject.toml"


class SettingsError(Exception):
    """The file cannot be used; the text says why."""


class Settings(NamedTuple):
    """What a file says: values by parameter, and the file's name."""

    values: dict[str, Any]
    path: str


def default_map(
    parameters: Iterable[click.Parameter], path: str | None
) -> tuple[dict[str, Any], str | None]:
    """Return what a command's parameters shall be without flag and variable, and the file's name.

    Raises click.UsageError.
    """
    options = {p.name: p for p in parameters if p.expose_value and p.name is not None}
    names = {
        key: name
        for name, parameter in options.items()
        for key in (name, name.replace("_", "-"), max(parameter.opts, key=len).lstrip("-"))
    }
    try:
        settings = read_settings(path, names)
        if settings is None:
            return {}, None
        found = {
            name: _fitting(options[name], value, settings.path)
            for name, value in settings.values.items()
        }
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    return found, settings.path


def _fitting(parameter: click.Parameter, value: Any, path: str) -> Any:
    """Return the value if it is of the kind that a flag's would be made from."""
    values = value if parameter.multiple and isinstance(value, list) else [value]
    switch = isinstance(parameter.type, click.types.BoolParamType)
    # Click would cut off a fraction.
    kinds = (
        (str, int) if isinstance(parameter.type, click.types.IntParamType) else (str, int, float)
    )
    for each in values:
        if isinstance(each, bool) is not switch or not isinstance(each, kinds):
            name = (parameter.name or "").replace("_", "-")
            raise SettingsError(f"{path}: {value!r} is no value for {name!r}.")
    return values if parameter.multiple else value


def read_settings(path: str | None, names: Mapping[str, str]) -> Settings | None:
    """Read the file, or the project's if `path` is None and there is one that has settings.

    `names` has the parameter for each key. Raises SettingsError.
    """
    chosen = path or PROJECT
    try:
        with open(chosen, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        if path is None:
            return None
        raise SettingsError(f"{chosen}: {error}") from None
    in_project = chosen.replace("\\", "/").rpartition("/")[2] == PROJECT
    if in_project and path is None and "ferricorn" not in text:
        return None

    table: Any = _parse(text, chosen)
    if in_project:
        tools = table.get("tool")
        table = tools.get("ferricorn") if isinstance(tools, dict) else None
        if table is None and path is None:
            return None
    if not isinstance(table, dict):
        raise SettingsError(f"{chosen}: there is no table [tool.ferricorn].")

    values = {}
    for key, value in table.items():
        if key not in names:
            import difflib

            flags = [name for name in names if "_" not in name]
            near = difflib.get_close_matches(key.replace("_", "-"), flags, n=1, cutoff=0)
            raise SettingsError(
                f"{chosen}: there is no option {key!r}; the nearest is {near[0]!r}."
            )
        if names[key] in values:
            raise SettingsError(f"{chosen}: {key!r} is given twice, under two names.")
        values[names[key]] = value
    return Settings(values, chosen)


def _parse(text: str, path: str) -> dict[str, Any]:
    for name in ("tomllib", "tomli"):  # The first is in the standard library, from 3.11 on.
        try:
            toml = importlib.import_module(name)
        except ImportError:
            continue
        try:
            return toml.loads(text)  # type: ignore[no-any-return]
        except toml.TOMLDecodeError as error:
            raise SettingsError(f"{path}: {error}") from None
    raise SettingsError(f"{path}: needs the package tomli, as `pip install 'ferricorn[toml]'`.")
