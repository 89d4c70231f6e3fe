"""Log lines, letter by letter, and the configurations that change them."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from ferricorn.logging import (
    LOGGING_CONFIG,
    TRACE_LOG_LEVEL,
    AccessFormatter,
    ColourizedFormatter,
    DefaultFormatter,
    access_log,
    configure_logging,
    log_error,
)

SCOPE = {
    "type": "http",
    "client": ("127.0.0.1", 48436),
    "method": "GET",
    "path": "/api/",
    "query_string": b"",
    "http_version": "1.0",
}


def configure(**changes: Any) -> None:
    settings: dict[str, Any] = {
        "log_config": LOGGING_CONFIG,
        "log_level": None,
        "access_log": True,
        "use_colors": False,
    }
    configure_logging(**{**settings, **changes})


@pytest.fixture
def streams() -> tuple[io.StringIO, io.StringIO]:
    """Configure logging as the server does by default; return what error and access log write."""
    configure()
    return redirect("uvicorn"), redirect("uvicorn.access")


def redirect(name: str) -> io.StringIO:
    stream = io.StringIO()
    [handler] = logging.getLogger(name).handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return stream


def access_line(streams: tuple[io.StringIO, io.StringIO], status: int = 200, **scope: Any) -> str:
    write = access_log()
    assert write is not None
    write({**SCOPE, **scope}, status)
    return streams[1].getvalue()


def test_an_error_line(streams: Any) -> None:
    log_error(logging.INFO, "Started.", None)
    log_error(logging.WARNING, "Careful.", None)
    assert streams[0].getvalue() == "INFO:     Started.\nWARNING:  Careful.\n"


def test_an_exception_is_shown_with_its_traceback(streams: Any) -> None:
    try:
        raise LookupError("lost")
    except LookupError as error:
        log_error(logging.ERROR, "Exception in ASGI application\n", error)
    lines = streams[0].getvalue().splitlines()
    assert lines[0] == "ERROR:    Exception in ASGI application"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "LookupError: lost"


def test_an_access_line(streams: Any) -> None:
    line = 'INFO:     127.0.0.1:48436 - "GET /api/ HTTP/1.0" 200 OK\n'
    assert access_line(streams) == line


def test_a_unix_client_has_no_address(streams: Any) -> None:
    assert access_line(streams, client=None) == 'INFO:      - "GET /api/ HTTP/1.0" 200 OK\n'


def test_a_status_without_a_phrase(streams: Any) -> None:
    assert access_line(streams, status=599).endswith('HTTP/1.0" 599 \n')


def test_path_and_query_are_those_of_the_request(streams: Any) -> None:
    line = access_line(streams, path="/a b/é", query_string=b"q=1&r=%20")
    assert '"GET /a%20b/%C3%A9?q=1&r=%20 HTTP/1.0"' in line


def test_nothing_that_a_peer_sends_can_forge_a_line(streams: Any) -> None:
    line = access_line(
        streams,
        path='/\r\nINFO:\x1b[2J\x7f\u2028"',
        query_string=b"a=\xff\xc2\x85",
        client=("6.6.6.6\r\nINFO: \x1b[2J", 0),
    )
    assert line.count("\n") == 1
    assert line.rstrip("\n").isprintable()


def test_an_access_record_keeps_its_five_arguments(streams: Any, listen: Any) -> None:
    log = listen("uvicorn.access", logging.INFO)
    access_line(streams, query_string=b"x=1")
    [record] = log.records
    assert record.args == ("127.0.0.1:48436", "GET", "/api/?x=1", "1.0", 200)
    assert record.msg == '%s - "%s %s HTTP/%s" %d'
    assert not hasattr(record, "request_line")


def test_the_access_log_can_be_off() -> None:
    configure(access_log=False)
    assert access_log() is None


def test_an_access_log_that_nobody_hears_is_off() -> None:
    configure()
    logging.getLogger("uvicorn.access").handlers.clear()
    assert access_log() is None


def test_a_level_above_info_silences_access_lines(streams: Any) -> None:
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    assert access_line(streams) == ""


@pytest.mark.parametrize(
    ("level", "number"), [("trace", TRACE_LOG_LEVEL), ("WARNING", 30), (25, 25)]
)
def test_the_level_holds_for_the_three_loggers(level: Any, number: int) -> None:
    configure(log_level=level)
    for name in ("error", "access", "asgi"):
        assert logging.getLogger(f"uvicorn.{name}").level == number


def test_colours_of_an_access_line() -> None:
    configure(use_colors=True)
    streams = redirect("uvicorn"), redirect("uvicorn.access")
    assert access_line(streams, status=404) == (
        "\x1b[32mINFO\x1b[0m:     127.0.0.1:48436 - "
        '"\x1b[1mGET /api/ HTTP/1.0\x1b[0m" \x1b[31m404 Not Found\x1b[0m\n'
    )


def test_a_colour_message_replaces_the_message_in_colour_only() -> None:
    record = logging.makeLogRecord(
        {
            "levelname": "INFO",
            "levelno": 20,
            "msg": "at %s",
            "args": ("x",),
            "color_message": "AT %s",
        }
    )
    fmt = "%(levelprefix)s %(message)s"
    assert DefaultFormatter(fmt, use_colors=False).format(record) == "INFO:     at x"
    assert DefaultFormatter(fmt, use_colors=True).format(record).endswith("     AT x")


@pytest.mark.parametrize(
    ("formatter", "stream"),
    [(ColourizedFormatter, "stdout"), (DefaultFormatter, "stderr"), (AccessFormatter, "stdout")],
)
def test_colours_are_for_terminals(
    formatter: type[ColourizedFormatter], stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal in (True, False):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda terminal=terminal: terminal)
        assert formatter().use_colors is terminal


def test_a_process_without_streams_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    configure()
    assert not DefaultFormatter().use_colors
    assert not AccessFormatter().use_colors


def test_colours_on_request_leave_the_shared_configuration_alone() -> None:
    configure(use_colors=True)
    assert LOGGING_CONFIG["formatters"]["default"]["use_colors"] is None


SMALL = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"uvicorn.error": {"level": "CRITICAL"}},
}


def test_json_configuration(tmp_path: Path) -> None:
    file = tmp_path / "log.json"
    file.write_text(json.dumps(SMALL))
    configure(log_config=file)
    assert logging.getLogger("uvicorn.error").level == logging.CRITICAL


@pytest.mark.parametrize("ending", ["yaml", "yml"])
def test_yaml_configuration(tmp_path: Path, ending: str) -> None:
    yaml = pytest.importorskip("yaml")
    file = tmp_path / f"log.{ending}"
    file.write_text(yaml.safe_dump(SMALL))
    configure(log_config=str(file))
    assert logging.getLogger("uvicorn.error").level == logging.CRITICAL


def test_ini_configuration(tmp_path: Path) -> None:
    file = tmp_path / "log.ini"
    file.write_text(
        "[loggers]\nkeys=root,error\n[handlers]\nkeys=\n[formatters]\nkeys=\n"
        "[logger_root]\nhandlers=\n"
        "[logger_error]\nqualname=uvicorn.error\nlevel=CRITICAL\nhandlers=\n"
    )
    configure(log_config=str(file))
    assert logging.getLogger("uvicorn.error").level == logging.CRITICAL


def test_no_configuration_changes_nothing() -> None:
    logging.getLogger("uvicorn.error").setLevel(37)
    configure(log_config=None)
    assert logging.getLogger("uvicorn.error").level == 37
