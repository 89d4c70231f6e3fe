"""Options from a file, and the table that says where each came from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ferricorn import cli, runner

if sys.version_info < (3, 11):
    pytest.importorskip("tomli")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Take the place of `run`; return the options of each call."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(runner, "run", lambda app, **options: calls.append({"app": app, **options}))
    return calls


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(cli.main, list(arguments), prog_name="ferricorn")


FILE = """
app = "main:app"
host = "0.0.0.0"
port = 9000
access-log = false
log_level = "debug"
timeout-keep-alive = 2.5
header = ["X-One: 1", "X-Two: 2"]
bind = "unix:sock"
uds-permissions = 0o660
"""


def test_a_file(called: Any) -> None:
    Path("server.toml").write_text(FILE)
    result = invoke("--config", "server.toml")
    assert result.exit_code == 0, result.output
    expected = {
        "app": "main:app",
        "host": "0.0.0.0",
        "port": 9000,
        "access_log": False,
        "log_level": "debug",
        "timeout_keep_alive": 2.5,
        "headers": [("X-One", " 1"), ("X-Two", " 2")],
        "bind": ["unix:sock"],
        "uds_permissions": 0o660,
    }
    assert expected.items() <= called[0].items()


def test_the_project_has_a_table(called: Any) -> None:
    Path("pyproject.toml").write_text('[tool.ferricorn]\nport = 9000\n[tool.other]\nport = "x"\n')
    invoke("main:app")
    invoke("main:app", "--config", "pyproject.toml")
    assert [options["port"] for options in called] == [9000, 9000]


@pytest.mark.parametrize(
    "text", ["", "[tool.other]\n", "this is not TOML", '[project]\nname = "ferricorn-user"\n']
)
def test_a_project_without_the_table_says_nothing(called: Any, text: str) -> None:
    Path("pyproject.toml").write_text(text)
    assert invoke("main:app").exit_code == 0
    assert called[0]["port"] == 8000


def test_flags_come_before_variables_before_the_file(called: Any) -> None:
    Path("x.toml").write_text('port = 1\nhost = "file"\nroot-path = "/file"\n')
    variables = {"FERRICORN_CONFIG": "x.toml", "UVICORN_PORT": "2", "FERRICORN_HOST": "variable"}
    invoke("main:app", "--port", "3", **variables)
    options = called[0]
    assert (options["port"], options["host"], options["root_path"]) == (3, "variable", "/file")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot = 1", "there is no option 'prot'; the nearest is 'port'."),
        ("loglevel = 1", "there is no option 'loglevel'; the nearest is 'log-level'."),
        ("port = 1\n[extra]\nx = 1", "there is no option 'extra'"),
        ("config = 'x'", "there is no option 'config'"),
        ("log-level = 'info'\nlog_level = 'info'", "'log_level' is given twice, under two names."),
        ("port = 'many'", "'--port': 'many' is not a valid integer. (From x.toml.)"),
        ("port = 70000", "'--port': 70000 is not between 0 and 65535. (From x.toml.)"),
        ("port = true", "True is no value for 'port'."),
        ("port = 80.5", "80.5 is no value for 'port'."),
        ("uds-permissions = 6.5", "'--uds-permissions': 6.5 is not an octal number."),
        ("port = [1]", "[1] is no value for 'port'."),
        ("access-log = 'yes'", "'yes' is no value for 'access-log'."),
        ("bind = [1979-05-27]", "is no value for 'bind'."),
        ("header = ['x']", "'x' is not a Name:Value pair. (From x.toml.)"),
        ("port = ", "x.toml: Invalid value"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(text: str, complaint: str) -> None:
    Path("x.toml").write_text(text)
    result = invoke("main:app", "--config", "x.toml")
    assert result.exit_code == 2
    assert complaint in result.output
    assert "x.toml" in result.output


@pytest.mark.parametrize("text", ["[tool.other]\n", "tool = 3\n", "[tool]\nferricorn = 3\n"])
def test_a_project_that_is_named_must_have_the_table(text: str, called: Any) -> None:
    Path("pyproject.toml").write_text(text)
    result = invoke("main:app", "--config", "pyproject.toml")
    assert (result.exit_code, called) == (2, [])
    assert "there is no table [tool.ferricorn]." in result.output


def test_a_file_that_is_not_there(called: Any) -> None:
    assert invoke("main:app", "--config", "nowhere.toml").exit_code == 2


def test_without_a_reader_of_toml(monkeypatch: pytest.MonkeyPatch, called: Any) -> None:
    for name in ("tomllib", "tomli"):
        monkeypatch.setitem(sys.modules, name, None)
    Path("pyproject.toml").write_text("[tool.ferricorn]\nport = 1\n")
    result = invoke("main:app")
    assert result.exit_code == 2
    assert "pip install 'ferricorn[toml]'" in result.output
    Path("pyproject.toml").write_text("[tool.other]\n")
    assert invoke("main:app").exit_code == 0


def explained(*arguments: str, **environment: str) -> dict[str, tuple[str, str]]:
    """Return value and origin of each option in the table."""
    result = invoke("main:app", "--explain", *arguments, **environment)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("option "))
    value, origin = lines[head].index("value"), lines[head].index("from")
    return {
        line[:value].strip(): (line[value:origin].strip(), line[origin:].strip())
        for line in lines[head + 1 :]
    }


def test_the_table_says_where_each_value_comes_from(called: Any) -> None:
    Path("x.toml").write_text('host = "file"\nheader = ["Authorization: secret"]\n')
    table = explained(
        *("--config", "x.toml", "--port", "81", "--no-access-log", "--uds-permissions", "660"),
        UVICORN_ROOT_PATH="/variable",
        FORWARDED_ALLOW_IPS="10.0.0.1",
    )
    assert table["app"] == ("main:app", "command line")
    assert table["--host"] == ("file", "x.toml")
    assert table["--port"] == ("81", "command line")
    assert table["--access-log"] == ("no", "command line")
    assert table["--uds-permissions"] == ("660", "command line")
    assert table["--root-path"] == ("/variable", "$UVICORN_ROOT_PATH")
    assert table["--forwarded-allow-ips"] == ("10.0.0.1", "$FORWARDED_ALLOW_IPS")
    assert table["--header"] == ("Authorization", "x.toml")
    assert table["--workers"] == ("1", "default")
    assert table["--uds"] == ("-", "default")
    assert table["--log-config"] == ("-", "default")
    assert called == []


def test_the_table_has_every_option_but_those_that_only_ask() -> None:
    asking = {"--version", "--config", "--check-config", "--explain"}
    flags = {max(p.opts, key=len) for p in cli.PARAMETERS}
    assert set(explained()) == flags - asking


def test_the_number_of_workers_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferricorn.processors.usable_processors", lambda: 1)
    assert explained("--workers", "auto")["--workers"] == ("1", "command line")
    assert explained(WEB_CONCURRENCY="1")["--workers"] == ("1", "$WEB_CONCURRENCY")


def test_what_cannot_be_is_not_explained() -> None:
    assert invoke("main:app", "--explain", "--port", "70000").exit_code == 2
