"""The pages: nothing is missing from them, and what they show is what the tests run."""

from __future__ import annotations

import importlib.util
import inspect
import re
from types import ModuleType

import pytest
from tests.support.docs import DOCS, EXAMPLES, FLAGS

from ferricorn.config import defaults

PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = {path.relative_to(DOCS).as_posix(): path.read_text() for path in PAGES}


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hook", DOCS / "hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def options_page(hook: ModuleType) -> str:
    return str(hook.on_page_markdown(TEXTS["options.md"]))


def test_every_option_of_the_help_is_on_the_page(hook: ModuleType, options_page: str) -> None:
    entries = options_page.split("\n#### ")[1:]
    assert len(entries) == len(hook.shown_options()) > 40
    for option in hook.shown_options():
        flag = max(option.opts, key=len)
        (entry,) = [each for each in entries if f"{{ #{flag[2:]} }}" in each]
        default = defaults().get(option.name)
        if isinstance(default, (int, float, str)) and not isinstance(default, bool) and default:
            assert f"Default: `{default}`" in entry
        if option.envvar and flag != "--config":
            assert f"`FERRICORN_{option.name.upper()}`" in entry
            assert f"TOML key `{flag[2:]}`" in entry


def test_every_refused_option_is_on_the_page(options_page: str) -> None:
    from ferricorn.unsupported import INSTEAD

    for name in INSTEAD.keys() - {"ssl_context_factory"}:
        assert f"| `--{name.replace('_', '-')}` |" in options_page


def test_every_option_that_uvicorn_lacks_has_its_reason(hook: ModuleType) -> None:
    uvicorn = pytest.importorskip("uvicorn")
    known = {flag for parameter in uvicorn.main.params for flag in parameter.opts}
    own = {
        max(option.opts, key=len)
        for option in hook.shown_options()
        if not known.intersection(option.opts)
    }
    assert own == hook.reasons().keys()


def test_refusals_and_bounds_are_those_of_the_sources(hook: ModuleType) -> None:
    page = hook.on_page_markdown(TEXTS["limits.md"])
    faults = (DOCS.parent / "native/proto/src/error.rs").read_text()
    count = faults.split("\nfaults! {\n")[1].split("\n}\n")[0].count('"') // 4
    refusals = [line for line in page.splitlines() if re.match(r"\| ([45]\d\d|none) \|", line)]
    assert sum(1 + line.count("<br>") for line in refusals) == count > 40
    assert "| Field lines in a head | 100 |" in page


def test_no_page_has_code_of_its_own() -> None:
    """It comes from files, which the tests run."""
    for name, text in TEXTS.items():
        for code in re.findall(r"^ *```\w+.*?\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
            assert re.fullmatch(r' *--8<-- "\S+"\n', code), f"{name}: {code}"


def test_every_example_is_on_a_page() -> None:
    shown = {name for text in TEXTS.values() for name in re.findall('--8<-- "(.+)"', text)}
    sections = re.findall(r"\[start:(\S+)\]", (EXAMPLES / "commands.sh").read_text())
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    there = files - {"commands.sh"} | {f"commands.sh:{section}" for section in sections}
    # The pages about proxies show who asks, and need not show how the answer is made.
    assert shown == there - {"whoami.py"}


def test_flags_in_the_text_exist() -> None:
    """Of the pages that speak of no other program's options."""
    for name, text in TEXTS.items():
        if "gunicorn" in name:
            continue
        for flag in re.findall(r"`(--[a-z][a-z0-9-]+)", text):
            known = flag in FLAGS | {"--help", "--init"} or flag.endswith("-")
            assert known or flag.replace("--no-", "--") in FLAGS, f"{name}: {flag}"


def test_the_signature_of_the_documented_calls() -> None:
    import ferricorn
    from ferricorn.middleware.wsgi import WSGIMiddleware

    assert inspect.signature(WSGIMiddleware).parameters["workers"].default == 10
    assert {"run", "Config", "Server", "main"} == set(ferricorn.__all__)
