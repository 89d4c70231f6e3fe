"""The configuration: its signature, its checks, and the application that it loads."""

from __future__ import annotations

import asyncio
import inspect
import logging
import pickle
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ferricorn import typing
from ferricorn.checks import OptionError
from ferricorn.config import Config, defaults
from ferricorn.json_lines import JSONFormatter
from ferricorn.middleware.asgi2 import ASGI2Middleware
from ferricorn.middleware.message_logger import MessageLoggerMiddleware

UVICORN_ORDER = [
    "app",
    "host",
    "port",
    "uds",
    "fd",
    "loop",
    "http",
    "http2",
    "ws",
    "ws_max_size",
    "ws_max_queue",
    "ws_ping_interval",
    "ws_ping_timeout",
    "ws_per_message_deflate",
    "lifespan",
    "env_file",
    "log_config",
    "log_level",
    "access_log",
    "use_colors",
    "interface",
    "reload",
    "reload_dirs",
    "reload_delay",
    "reload_includes",
    "reload_excludes",
    "workers",
    "proxy_headers",
    "server_header",
    "date_header",
    "forwarded_allow_ips",
    "root_path",
    "limit_concurrency",
    "limit_max_requests",
    "limit_max_requests_jitter",
    "backlog",
    "timeout_keep_alive",
    "timeout_notify",
    "timeout_graceful_shutdown",
    "timeout_worker_healthcheck",
    "callback_notify",
    "ssl_keyfile",
    "ssl_certfile",
    "ssl_keyfile_password",
    "ssl_version",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ciphers",
    "ssl_context_factory",
    "headers",
    "factory",
    "h11_max_incomplete_event_size",
    "reset_contextvars",
]


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def make_app() -> Any:
    return app


def config(app: Any = app, **options: Any) -> Config:
    return Config(app, **{"log_config": None, **options})


def loaded(app: Any = app, **options: Any) -> Config:
    """Load the application with nothing around it that the test does not ask for."""
    made = config(app, **{"proxy_headers": False, **options})
    made.load()
    return made


def test_the_parameters_stand_in_uvicorns_order() -> None:
    parameters = inspect.signature(Config).parameters.values()
    assert [p.name for p in parameters][:53] == UVICORN_ORDER
    assert {p.kind for p in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


def test_each_parameter_is_an_attribute() -> None:
    made = config()
    special = {"app", "log_config", "headers", "workers", "forwarded_allow_ips", "bind", "mounts"}
    special |= {"reload_dirs", "reload_includes", "reload_excludes"}
    for name, default in defaults().items():
        if name not in special:
            assert getattr(made, name) == default, name
    assert (made.app, made.headers, made.workers, made.bind) == (app, [], 1, [])
    assert made.forwarded_allow_ips == "127.0.0.1,::1"


def test_the_options_of_run_are_those_of_config() -> None:
    annotations = inspect.get_annotations(typing.Options)
    assert list(annotations) == list(defaults())
    ours = {name: value.__forward_arg__ for name, value in annotations.items()}
    signature = inspect.signature(Config).parameters
    assert ours == {name: signature[name].annotation.strip("() ") for name in ours}


@pytest.mark.parametrize(
    "options",
    [
        {"http2": True},
        {"ssl_keyfile": "key.pem"},
        {"h11_max_incomplete_event_size": 1},
    ],
)
def test_what_is_not_supported_yet_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="not supported yet: ") as caught:
        config(**options)
    assert caught.value.name == next(iter(options))


@pytest.mark.parametrize(
    "options",
    [
        {"http": "my.protocol:Class"},
        {"http": asyncio.Protocol},
        {"ws": "my.protocol:Class"},
        {"ws_max_size": -1},
        {"ws_max_queue": 0},
        {"ws_deflate_window_bits": 8},
        {"ws_close_timeout": float("nan")},
        {"port": -1},
        {"port": 65536},
        {"backlog": -1},
        {"drain_delay": -1},
        {"timeout_write": -0.5},
        {"timeout_write": float("nan")},
        {"timeout_keep_alive": float("inf")},
        {"limit_concurrency": -1},
        {"limit_concurrency": 2**64},
        {"timeout_keep_alive": 1e300},
        {"wsgi_buffer_size": 2**64},
        {"backlog": 2**31},
        {"reload_delay": float("nan")},
        {"root_path": "/\udcff"},
        {"headers": [("two words", "x")]},
        {"headers": [("", "x")]},
        {"headers": [("Content-Length", "3")]},
        {"headers": [("transfer-encoding", "chunked")]},
        {"headers": [("connection", "close")]},
        {"headers": [("x", "a\r\nb: c")]},
        {"headers": [("x", "€")]},
        {"forwarded_headers": "x-real-ip"},
        {"proxy_allow_ips": "127.0.0.1,proxy.internal"},
        {"proxy_allow_ips": ["10.0.0.0/33"]},
        {"proxy_allow_ips": "fe80::1%eth0"},
        {"workers": "some"},
        {"uds_permissions": 0o1777},
        {"bind": "127.0.0.1"},
        {"bind": ["127.0.0.1:0", "127.0.0.1:65536"]},
        {"bind": "::1:80"},
        {"bind": "[::1]80"},
        {"bind": "unix:"},
        {"bind": "fd://x"},
        {"bind": ":80", "host": "::1"},
        {"bind": ":80", "port": 80},
        {"bind": ":80", "uds": "sock"},
        {"bind": ":80", "fd": 0},
        {"mounts": "/\udcff=main:app"},
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError) as caught:
        config(**options)
    assert caught.value.name == next(iter(options))
    assert str(caught.value).startswith(f"{caught.value.name}: ")


@pytest.mark.parametrize("name", ["h11", "httptools", "zttp"])
def test_uvicorns_protocols_are_the_native_one(name: str, log: Any) -> None:
    config(http=name).load()
    assert log.lines == [f"INFO: The native HTTP core serves in the place of '{name}'."]


def test_uvicorns_websocket_protocols_are_the_native_one(log: Any) -> None:
    config(ws="wsproto").load()
    assert log.lines == ["INFO: The native WebSocket core serves in the place of 'wsproto'."]


def test_workers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in ("1", ""):
        monkeypatch.setenv("WEB_CONCURRENCY", one)
        assert config().workers == 1
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    assert config(workers=1).workers == 1
    assert config().workers == 2


def test_as_many_workers_as_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferricorn.processors.usable_processors", lambda: 1)
    assert config(workers="auto").workers == 1
    monkeypatch.setenv("WEB_CONCURRENCY", "auto")
    assert config().workers == 1


def test_who_is_believed_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert config().forwarded_allow_ips == "*"
    assert config(forwarded_allow_ips=["::1"]).forwarded_allow_ips == ["::1"]


def test_the_environment_file_is_read_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    pytest.importorskip("dotenv")
    monkeypatch.setenv("WEB_CONCURRENCY", "")  # Restored after the test.
    monkeypatch.delenv("WEB_CONCURRENCY")
    file = tmp_path / "environment"
    file.write_text("WEB_CONCURRENCY=7\n")
    assert config(env_file=file).workers == 7
    assert log.lines == [f"INFO: Loading environment from '{file}'"]


def test_an_environment_file_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dotenv", None)
    with pytest.raises(OptionError, match="env_file: needs the package python-dotenv"):
        config(env_file="environment")


def test_logging_is_configured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Config(app, log_level="error")
    assert logging.getLogger("uvicorn.error").level == logging.ERROR
    assert logging.getLogger("uvicorn").propagate is False


def test_json_is_a_logging_configuration() -> None:
    made = Config(app, log_format="json", use_colors=True)
    for name in ("uvicorn", "uvicorn.access"):
        [handler] = logging.getLogger(name).handlers
        assert isinstance(handler.formatter, JSONFormatter)
    # As a worker does, which got it from its parent.
    pickle.loads(pickle.dumps(made)).configure_logging()
    [handler] = logging.getLogger("uvicorn").handlers
    assert isinstance(handler.formatter, JSONFormatter)


@pytest.mark.parametrize("other", [None, {"version": 1}, "log.ini"])
def test_which_has_none_beside_it(other: Any) -> None:
    problem = "log_format: json is a logging configuration, and so is log_config: give one"
    with pytest.raises(OptionError, match=problem):
        Config(app, log_format="json", log_config=other)


def test_a_format_that_is_none() -> None:
    with pytest.raises(OptionError, match="log_format: 'xml' is none of text, json"):
        config(log_format="xml")
    with pytest.raises(OptionError, match="access_log_format: there is no atom 'x'"):
        config(access_log_format="%(x)s")


def test_a_port_may_be_text() -> None:
    assert config(port="8080").port == 8080


def test_headers_are_encoded() -> None:
    made = config(headers=[("X-One", " 1 "), ("x-two", "ü")])
    assert made.encoded_headers == [(b"x-one", b"1"), (b"x-two", b"\xfc")]
    assert made.server_name == b"ferricorn"


def test_the_date_header_can_be_replaced_or_left_out() -> None:
    assert config().sends_date
    assert not config(headers=[("Date", "never")]).sends_date
    assert not config(date_header=False).sends_date


def test_the_server_header_can_be_replaced_or_left_out() -> None:
    assert config(headers=[("Server", "mine")]).server_name is None
    assert config(server_header=False).server_name is None


def test_a_name_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "some_module", SimpleNamespace(app=app))
    made = loaded("some_module:app")
    assert made.loaded
    assert made.loaded_app is app
    assert (made.interface, made.asgi_version) == ("asgi3", "3.0")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("no_module:app", 'Could not import module "no_module".'),
        ("os:no_app", 'Attribute "no_app" not found in module "os".'),
        ("os", 'Import string "os" must be in format "<module>:<attribute>".'),
    ],
)
def test_an_application_that_is_not_there(name: str, line: str, log: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        config(name).load()
    assert caught.value.code == 3
    assert log.lines == [f"ERROR: Error loading ASGI app. {line}"]


def test_asgi2_is_adapted() -> None:
    class Double:
        def __init__(self, scope: Any) -> None: ...

        async def __call__(self, receive: Any, send: Any) -> None: ...

    made = loaded(Double)
    assert isinstance(made.loaded_app, ASGI2Middleware)
    assert made.asgi_version == "2.0"


def test_the_interface_can_be_told() -> None:
    made = loaded(app, interface="asgi2")
    assert isinstance(made.loaded_app, ASGI2Middleware)


@pytest.mark.parametrize("interface", ["auto", "wsgi"])
def test_a_wsgi_application_is_served_as_it_is(interface: str) -> None:
    def wsgi(environ: Any, start_response: Any) -> Any: ...

    made = loaded(wsgi, interface=interface)
    assert made.loaded_app is wsgi
    assert (made.interface, made.asgi_version) == ("wsgi", "3.0")


def test_a_factory(log: Any) -> None:
    made = loaded(make_app, factory=True)
    assert made.loaded_app is app
    assert log.lines == []


def test_a_factory_without_the_flag(log: Any) -> None:
    made = loaded(make_app)
    assert made.loaded_app is app
    [line] = log.lines
    assert line == (
        "WARNING: ASGI app factory detected. Using it, "
        "but please consider setting the --factory flag explicitly."
    )


def test_a_factory_that_wants_arguments(log: Any) -> None:
    def factory(settings: Any) -> Any: ...

    with pytest.raises(SystemExit) as caught:
        config(factory, factory=True).load()
    assert caught.value.code == 3
    [line] = log.lines
    assert line.startswith("ERROR: Error loading ASGI app factory: ")
    assert line.endswith("factory() missing 1 required positional argument: 'settings'")


@pytest.mark.parametrize("flag", [True, False])
def test_an_error_inside_a_factory_is_shown_whole(flag: bool) -> None:
    def factory() -> Any:
        return len(5)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="has no len"):
        config(factory, factory=flag).load()


def test_proxies_are_believed_unless_told_otherwise() -> None:
    assert loaded().loaded_app is app
    assert loaded(proxy_headers=True).loaded_app is not app


def test_messages_are_logged_at_level_trace() -> None:
    made = loaded(log_level="trace")
    assert isinstance(made.loaded_app, MessageLoggerMiddleware)


@pytest.mark.parametrize("name", ["auto", "asyncio"])
def test_loops_by_name(name: str) -> None:
    factory = config(loop=name).get_loop_factory()
    assert factory is not None
    loop = factory()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()


def test_auto_takes_asyncio_where_uvloop_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ferricorn.loops.uvloop", raising=False)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    factory = config().get_loop_factory()
    assert factory is not None
    loop = factory()
    assert type(loop).__module__.startswith("asyncio")
    loop.close()


def test_no_loop_factory_and_a_foreign_one() -> None:
    assert config(loop="none").get_loop_factory() is None
    assert config(loop="asyncio:SelectorEventLoop").get_loop_factory() is asyncio.SelectorEventLoop


def test_a_loop_that_is_not_there(log: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        config(loop="no_module:loop").get_loop_factory()
    assert caught.value.code == 3
    text = 'Error loading custom loop setup function. Could not import module "no_module".'
    assert log.lines == [f"ERROR: {text}"]


@pytest.mark.parametrize("name", ["uvloop", "zuvloop"])
def test_a_loop_whose_package_is_missing(
    name: str, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    monkeypatch.delitem(sys.modules, f"ferricorn.loops.{name}", raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as caught:
        config(loop=name).get_loop_factory()
    assert caught.value.code == 3
    assert log.lines[0].startswith(
        f"ERROR: Error loading the event loop '{name}'. import of {name}"
    )


def test_a_loop_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    package = SimpleNamespace(new_event_loop=asyncio.new_event_loop)
    monkeypatch.setitem(sys.modules, "zuvloop", package)
    monkeypatch.delitem(sys.modules, "ferricorn.loops.zuvloop", raising=False)
    assert config(loop="zuvloop").get_loop_factory() is asyncio.new_event_loop


def test_setup_event_loop_names_its_successor() -> None:
    with pytest.raises(AttributeError, match="get_loop_factory"):
        config().setup_event_loop()


def test_a_bound_socket_is_announced_and_inheritable(log: Any) -> None:
    with config(port=0).bind_socket() as sock:
        port = sock.getsockname()[1]
        assert sock.get_inheritable()
    assert log.lines == [
        f"INFO: Ferricorn running on http://127.0.0.1:{port} (Press CTRL+C to quit)"
    ]


def test_a_socket_that_cannot_be_bound(log: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(SystemExit) as caught:
        config(port=other.getsockname()[1]).bind_socket()
    assert caught.value.code == 3
    assert "address already in use" in log.lines[0]
