"""That nothing of uvicorn is missing: its own signatures and names are read, and looked for here.

Whatever a new version of uvicorn adds makes a test fail. What differs on purpose is in the tables
below, with the reason.
"""

from __future__ import annotations

import importlib
import inspect
import re
from types import ModuleType
from typing import Any

import click
import pytest
import uvicorn
import uvicorn.config
import uvicorn.supervisors

import ferricorn
import ferricorn.supervisors
from ferricorn.cli import main

# Where uvicorn wants whole seconds, fractions are taken too.
WIDER = {"int": "float"}

# Names of a module that are its own business, whatever they are called.
INTERNAL = {
    "uvicorn.config": {"is_dir"},
    "uvicorn.middleware.wsgi": {"WSGIResponder", "build_environ"},
    "uvicorn.lifespan.on": {"STATE_TRANSITION_ERROR"},
    "uvicorn.middleware.message_logger": {"PLACEHOLDER_FORMAT", "message_with_placeholders"},
    "uvicorn.server": {"Protocols"},
}

# Modules whose public names are all here.
MODULES = [
    "uvicorn",
    "uvicorn._types",
    "uvicorn.config",
    "uvicorn.importer",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
    "uvicorn.logging",
    "uvicorn.loops.asyncio",
    "uvicorn.loops.auto",
    "uvicorn.loops.uvloop",
    "uvicorn.middleware.asgi2",
    "uvicorn.middleware.message_logger",
    "uvicorn.middleware.proxy_headers",
    "uvicorn.middleware.wsgi",
    "uvicorn.protocols.utils",
    "uvicorn.server",
]

# Known and not there yet, each with what it waits for.
NOT_YET = {}

THEIRS = {parameter.name: parameter for parameter in uvicorn.main.params}
OURS = {parameter.name: parameter for parameter in main.params}


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def kind(parameter: click.Parameter) -> Any:
    """Return what a parameter takes, in a form to compare."""
    takes = parameter.type
    if isinstance(takes, click.Choice):
        return list(takes.choices)
    if isinstance(takes, click.Path):
        return ("path", takes.exists, takes.file_okay, takes.dir_okay)
    return {"integer": "int"}.get(takes.name, takes.name)


def test_every_option_is_on_the_command_line() -> None:
    assert set(THEIRS) - set(OURS) == set()


@pytest.mark.parametrize("name", THEIRS)
def test_an_option(name: str) -> None:
    theirs: Any = THEIRS[name]
    ours: Any = OURS[name]
    assert isinstance(ours, click.Argument) == isinstance(theirs, click.Argument)
    for attribute in ("opts", "secondary_opts", "multiple", "nargs", "required", "is_flag"):
        wanted = getattr(theirs, attribute, None)
        assert getattr(ours, attribute, None) == wanted, attribute
    assert kind(ours) in (kind(theirs), WIDER.get(str(kind(theirs)), kind(theirs)))
    context = click.Context(main)
    assert ours.get_default(context) == theirs.get_default(context)
    if name != "version":
        assert ours.envvar == [f"FERRICORN_{name.upper()}", f"UVICORN_{name.upper()}"]


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def annotation(parameter: inspect.Parameter) -> set[str]:
    """Return the alternatives of a parameter's type; what is inside brackets stays together."""
    text = re.sub(
        r"\[[^\[\]]*(\[[^\]]*\][^\[\]]*)*\]",
        lambda m: m[0].replace("|", "/"),
        str(parameter.annotation),
    )
    return {part.strip(" ()\n") for part in text.split("|")}


def test_the_positions_of_the_configuration() -> None:
    theirs = list(parameters(uvicorn.Config))
    assert list(parameters(ferricorn.Config))[: len(theirs)] == theirs


@pytest.mark.parametrize("theirs", parameters(uvicorn.Config).values(), ids=lambda p: p.name)
def test_a_parameter_of_the_configuration(theirs: inspect.Parameter) -> None:
    ours = parameters(ferricorn.Config)[theirs.name]
    assert ours.kind == theirs.kind
    if theirs.name != "log_config":  # The formatters are our own.
        assert ours.default == theirs.default
    missing = annotation(theirs) - annotation(ours)
    # Types that ours contains: a list is a sequence, and a callable of known arguments a callable.
    covered = {
        *(each for each in missing if WIDER.get(each) in annotation(ours)),
        *(each for each in missing if re.match(r"list\[", each) and "Sequence" in str(ours)),
        *(each for each in missing if re.match(r"Callable\[", each) and "Callable" in str(ours)),
    }
    assert missing - covered == set()


def test_the_keywords_of_run() -> None:
    theirs, ours = parameters(uvicorn.run), parameters(ferricorn.run)
    assert set(theirs) - set(ours) == set()
    for name, parameter in theirs.items():
        assert ours[name].kind == parameter.kind
        if name != "log_config":
            assert ours[name].default == parameter.default, name


def public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def loaded(package: Any) -> Any:
    config = package.Config(app, log_config=None)
    config.load()
    return config


def test_the_attributes_of_a_configuration() -> None:
    assert public(loaded(uvicorn)) - public(loaded(ferricorn)) == set()


@pytest.mark.parametrize("name", sorted(public(uvicorn.Config)))
def test_a_method_or_property_of_the_configuration(name: str) -> None:
    theirs, ours = getattr(uvicorn.Config, name), getattr(ferricorn.Config, name)
    assert callable(ours) == callable(theirs)
    if callable(theirs):
        assert list(parameters(ours)) == list(parameters(theirs))


def test_the_attributes_of_a_server() -> None:
    theirs = uvicorn.Server(loaded(uvicorn))
    ours = ferricorn.Server(loaded(ferricorn))
    # Set at the start.
    assert public(theirs) - public(ours) == set()
    assert hasattr(ours, "_captured_signals")
    assert hasattr(ours, "servers")
    assert public(theirs.server_state) - public(ours.server_state) == set()


def test_the_attributes_of_a_parent() -> None:
    theirs = public(uvicorn.supervisors.Multiprocess(uvicorn.Config("m:app", log_config=None), []))
    ours = ferricorn.supervisors.Multiprocess(ferricorn.Config("m:app", log_config=None), [])
    assert theirs - public(ours) == set()


METHODS = ["__init__", "_serve", *sorted(public(uvicorn.Server) - {"limit_max_requests"})]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_the_server(name: str) -> None:
    theirs, ours = getattr(uvicorn.Server, name), getattr(ferricorn.Server, name)
    assert list(parameters(ours)) == list(parameters(theirs))
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


def defined(module: ModuleType) -> set[str]:
    """Return the public names that a module makes, or has for others to import."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and (getattr(value, "__module__", None) in (module.__name__, None) or module is uvicorn)
        and name not in ("annotations", "logger", "TYPE_CHECKING")
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_module(name: str) -> None:
    theirs = defined(importlib.import_module(name)) - INTERNAL.get(name, set())
    ours = importlib.import_module(name.replace("uvicorn", "ferricorn"))
    missing = {each for each in theirs if not hasattr(ours, each)}
    assert {each for each in missing if f"{name}.{each}" not in NOT_YET} == set()


def test_what_is_not_there_yet_is_really_not() -> None:
    for path in NOT_YET:
        module, _, name = path.replace("uvicorn", "ferricorn").rpartition(".")
        assert not hasattr(importlib.import_module(module), name)


def test_both_trust_the_same_proxies_by_default() -> None:
    assert loaded(ferricorn).forwarded_allow_ips == loaded(uvicorn).forwarded_allow_ips


def test_the_names_of_protocols_and_loops() -> None:
    for name in ("LOG_LEVELS", "HTTP_PROTOCOLS", "WS_PROTOCOLS", "LIFESPAN", "LOOP_FACTORIES"):
        theirs = getattr(uvicorn.config, name)
        assert list(getattr(ferricorn.config, name)) == list(theirs), name
    assert ferricorn.config.INTERFACES == uvicorn.config.INTERFACES
