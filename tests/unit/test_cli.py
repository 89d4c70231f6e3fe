"""The command line: what it makes of flags and variables. The server is not started."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ferricorn
from ferricorn import cli, runner
from ferricorn.config import defaults


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Take the place of `run`; return the options of each call."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(runner, "run", lambda app, **options: calls.append({"app": app, **options}))
    return calls


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(cli.main, list(arguments), prog_name="ferricorn")


def test_without_options_all_is_as_in_config(called: Any) -> None:
    result = invoke("main:app")
    assert result.exit_code == 0
    [options] = called
    assert (options.pop("app"), options.pop("app_dir")) == ("main:app", "")
    assert options.pop("headers") == []
    for name, value in options.items():
        assert value == defaults()[name], name


def test_every_option_of_config_has_a_flag(called: Any) -> None:
    invoke("main:app")
    python_only = {"timeout_notify", "callback_notify", "ssl_context_factory", "log_config"}
    assert set(defaults()) - set(called[0]) == python_only


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--host", "0.0.0.0", "--port", "80"], {"host": "0.0.0.0", "port": 80}),
        (["--uds", "x.sock"], {"uds": "x.sock"}),
        (["--fd", "3"], {"fd": 3}),
        (["--loop", "my:loop"], {"loop": "my:loop"}),
        (["--no-access-log"], {"access_log": False}),
        (["--use-colors"], {"use_colors": True}),
        (["--no-use-colors"], {"use_colors": False}),
        (["--no-server-header", "--no-date-header"], {"server_header": False}),
        (["--timeout-keep-alive", "0.5"], {"timeout_keep_alive": 0.5}),
        (["--header", "A: 1", "--header", "B:2:3"], {"headers": [("A", " 1"), ("B", "2:3")]}),
        (["--app-dir", "src"], {"app_dir": "src"}),
        (["--factory"], {"factory": True}),
        (["--driver", "protocol"], {"driver": "protocol"}),
        (["--reload-dir", "."], {"reload_dirs": ["."]}),
        (["--bind", ":80", "--bind", "unix:x"], {"bind": [":80", "unix:x"]}),
        (["--uds-permissions", "0660"], {"uds_permissions": 0o660}),
        (["--workers", "auto"], {"workers": "auto"}),
        (["--access-log-format", "%(h)s"], {"access_log_format": "%(h)s"}),
        (["--log-format", "json"], {"log_format": "json"}),
    ],
)
def test_flags(called: Any, arguments: list[str], expected: dict[str, Any]) -> None:
    result = invoke("main:app", *arguments)
    assert result.exit_code == 0, result.output
    assert expected.items() <= called[0].items()


def test_a_log_configuration_is_passed_on(called: Any, tmp_path: Path) -> None:
    file = tmp_path / "log.ini"
    file.touch()
    invoke("main:app", "--log-config", str(file))
    assert called[0]["log_config"] == str(file)


def test_variables(called: Any) -> None:
    invoke(
        FERRICORN_APP="main:app",
        FERRICORN_PORT="81",
        UVICORN_PORT="82",
        UVICORN_HOST="uvicorn.example",
        FERRICORN_HEADERS="X-A:1 X-B:2",
        FERRICORN_ACCESS_LOG="0",
        FERRICORN_DRIVER="protocol",
    )
    [options] = called
    assert (options["app"], options["port"], options["host"]) == ("main:app", 81, "uvicorn.example")
    assert options["headers"] == [("X-A", "1"), ("X-B", "2")]
    assert options["access_log"] is False
    assert options["driver"] == "protocol"


def test_a_flag_beats_a_variable(called: Any) -> None:
    invoke("main:app", "--port", "83", FERRICORN_PORT="81")
    assert called[0]["port"] == 83


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing argument 'APP'"),
        (["main:app", "--port", "many"], "'--port': 'many' is not a valid integer"),
        (["main:app", "--lifespan", "maybe"], "'--lifespan': 'maybe' is not one of"),
        (["main:app", "--header", "nonsense"], "'--header': 'nonsense' is not a Name:Value pair."),
        (["main:app", "--log-config", "no-such-file"], "does not exist"),
        (["main:app", "--no-such-flag"], "No such option"),
        # What `Config` refuses.
        (["main:app", "--port", "70000"], "'--port': 70000 is not between 0 and 65535."),
        (["main:app", "--timeout-write", "-1"], "'--timeout-write': -1.0 is no number from 0 to "),
        (["main:app", "--worker-lifetime", "-1"], "'--worker-lifetime': -1.0 is no number from "),
        (["main:app", "--reload-dir", "no-such-folder"], "does not exist"),
        (["main:app", "--ssl-keyfile", "key"], "'--ssl-keyfile': not supported yet: "),
        (["main:app", "--workers", "many"], "'--workers': 'many' is not a valid integer"),
        (["main:app", "--uds-permissions", "9"], "'--uds-permissions': '9' is not an octal number"),
        (["main:app", "--bind", "x"], "'--bind': 'x' is not an address"),
        (["main:app", "--bind", ":80", "--port", "80"], "'--bind': says where to listen, and so"),
        (["main:app", "--proxy-allow-ips", "front"], "'--proxy-allow-ips': 'front' is no address"),
        (["main:app", "--http", "my:Protocol"], "'--http': the protocols are native code"),
        (["main:app", "--access-log-format", "%(x)s"], "'--access-log-format': there is no atom"),
        (["main:app", "--log-format", "xml"], "'--log-format': 'xml' is not one of"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], complaint: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert complaint in result.output


def test_help_shows_what_works() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ferricorn [OPTIONS] APP\n")
    assert "--timeout-request-head" in result.output
    assert "--ssl-keyfile" not in result.output


def test_help_is_by_theme() -> None:
    lines = invoke("--help").output.splitlines()
    themes = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert themes[:3] == ["Application:", "Address:", "Processes:"]
    assert themes[-1] == "This command:"
    last = [line.split()[0] for line in lines[lines.index(themes[-1]) :] if "  --" in line]
    assert last == ["--config", "--check-config", "--explain", "--version", "--help"]


def test_a_wrong_variable_is_named() -> None:
    result = invoke("main:app", UVICORN_PORT="many")
    assert "'--port': 'many' is not a valid integer. (From $UVICORN_PORT.)" in result.output
    result = invoke("main:app", FERRICORN_PORT="70000")
    assert "is not between 0 and 65535. (From $FERRICORN_PORT.)" in result.output


def test_version() -> None:
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.output.startswith(f"Running ferricorn {ferricorn.__version__} with ")


def test_the_signature_of_run() -> None:
    app, *options = inspect.signature(ferricorn.run).parameters.values()
    assert app.name == "app"
    assert {p.kind for p in options} == {inspect.Parameter.KEYWORD_ONLY}
    assert {p.name: p.default for p in options} == {**defaults(), "app_dir": None}
