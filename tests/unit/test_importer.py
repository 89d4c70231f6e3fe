"""Import strings: what they find, and what is said of those that find nothing."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from ferricorn.importer import ImportFromStringError, import_from_string


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("import surely_missing")
    (tmp_path / "raising_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_dotted_attribute_is_found() -> None:
    assert import_from_string("os:path.join") is __import__("os").path.join


def test_an_object_comes_back() -> None:
    application = object()
    assert import_from_string(application) is application


@pytest.mark.parametrize("text", ["os", "os:", ":path", ""])
def test_both_halves_are_needed(text: str) -> None:
    with pytest.raises(ImportFromStringError) as caught:
        import_from_string(text)
    assert str(caught.value) == f'Import string "{text}" must be in format "<module>:<attribute>".'


@pytest.mark.parametrize("module", ["no_module", "no_package.module", "os.no_module"])
def test_a_missing_module(module: str) -> None:
    with pytest.raises(ImportFromStringError) as caught:
        import_from_string(f"{module}:app")
    assert str(caught.value) == f'Could not import module "{module}".'


@pytest.mark.parametrize("attributes", ["no_attribute", "path.no_attribute"])
def test_a_missing_attribute(attributes: str) -> None:
    with pytest.raises(ImportFromStringError) as caught:
        import_from_string(f"os:{attributes}")
    assert str(caught.value) == f'Attribute "{attributes}" not found in module "os".'


def test_a_module_that_misses_another_shows_which() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        import_from_string("broken_module:app")
    assert caught.value.name == "surely_missing"


def test_an_exception_of_the_module_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError):
        import_from_string("raising_module:app")


def test_the_collector_rests_only_while_modules_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "measuring.py").write_text("import gc; seen = gc.get_threshold()")
    (tmp_path / "deciding.py").write_text("import gc; gc.set_threshold(5, 6, 7); x = 1")
    usual = gc.get_threshold()
    try:
        assert import_from_string("measuring:seen")[0] > usual[0]
        assert gc.get_threshold() == usual
        with pytest.raises(ZeroDivisionError):
            import_from_string("raising_module:x")
        assert gc.get_threshold() == usual
        import_from_string("deciding:x")
        assert gc.get_threshold() == (5, 6, 7)
    finally:
        gc.set_threshold(*usual)
