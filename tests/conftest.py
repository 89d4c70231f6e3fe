"""The fixtures of all tests that talk to a running server.

`server` starts one for a test, `shared_server` one for everybody who asks for the same application
and options and leaves no trace in it. `everywhere` runs a test on each event loop with each driver.
`browse` makes clients as users have them. Whatever was started here ends here, by its own process
id; a server that died, or that wrote a panic, fails the test that it served.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.support.server import PATIENCE, PRODUCT, Server

StartServer = Callable[..., Server]

LOOPS = ["asyncio", "uvloop"] if importlib.util.find_spec("uvloop") else ["asyncio"]
DRIVERS = ["reactor", "protocol"] if PRODUCT == "ferricorn" else ["loop"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds, for a reason that the test gives")


@pytest.fixture
def server() -> Iterator[StartServer]:
    """Start servers for one test: `server("tests.apps.x:app", timeout_keep_alive=1)`."""
    running: list[Server] = []

    def start(app: Any, **options: Any) -> Server:
        running.append(Server(app, **options))
        return running[-1].wait_until_ready()

    yield start
    _end(running)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[StartServer]:
    """Start a server once for the same application and options, for tests that only talk to it."""
    running: dict[str, Server] = {}

    def start(app: str, **options: Any) -> Server:
        key = repr((app, sorted(options.items())))
        if key not in running:
            running[key] = Server(app, **options).wait_until_ready()
        running[key].check()
        return running[key]

    yield start
    _end(running.values())


def _end(servers: Any) -> None:
    complaints = []
    for each in servers:
        try:
            each.check()
        except AssertionError as complaint:
            complaints.append(complaint)
        each.kill()
    if complaints:
        raise complaints[0]


@pytest.fixture(params=[(loop, driver) for loop in LOOPS for driver in DRIVERS], ids="-".join)
def everywhere(request: pytest.FixtureRequest) -> dict[str, str]:
    """Options for each loop with each driver: `server(app, **everywhere)`."""
    loop, driver = request.param
    return {"loop": loop, "driver": driver}


@pytest.fixture
def browse() -> Iterator[Callable[[Server], httpx.Client]]:
    """Make clients that keep their connections, as browsers do."""
    clients: list[httpx.Client] = []

    def connect(server: Server) -> httpx.Client:
        clients.append(httpx.Client(base_url=server.url, timeout=PATIENCE, trust_env=False))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
