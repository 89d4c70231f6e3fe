"""No request is lost, whatever becomes of the workers, under strict clients and fast ones.

FERRICORN_TEST_ROUNDS makes more of each than the few of a normal run; `make endure` is 20.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
from tests.conftest import StartServer
from tests.process.test_workers import (
    COMPLETE,
    FINISHED,
    STARTED,
    TERMINATED,
    ended,
    numbers,
    workers,
)
from tests.support.load import Load, Wrk, clients_of
from tests.support.server import PATIENCE, Server

ROUNDS = int(os.environ.get("FERRICORN_TEST_ROUNDS", "2"))

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of Unix"),
    pytest.mark.parametrize(
        "app", ["tests.apps.working:app", "tests.apps.wsgi_working:app"], ids=["asgi", "wsgi"]
    ),
]


@contextmanager
def everybody(server: Server) -> Iterator[Load]:
    """Put both loads on a server, and see afterwards that no request was lost."""
    with Wrk(server) as fast, Load(server) as strict:
        yield strict
    assert strict.failures == []
    assert fast.errors == 0, fast.report
    print(f"{sum(strict.bodies.values())} + {fast.requests} requests, none lost")


def test_reloads(server: StartServer, app: str) -> None:
    fresh = server(app, workers=2, access_log=False)
    workers(fresh)
    with everybody(fresh) as load:
        for turn in range(1, ROUNDS + 1):
            fresh.send_signal(signal.SIGHUP)
            fresh.wait_for_count(TERMINATED, 2 * turn)
            load.wait_for_more()
    started = numbers(fresh.lines(STARTED))
    assert len(set(started)) == 2 + 2 * ROUNDS
    assert set(numbers(fresh.lines(TERMINATED))) == set(started[: 2 * ROUNDS])
    assert fresh.lines("Received SIGHUP, restarting processes.")


def test_limits_of_requests(server: StartServer, app: str) -> None:
    fresh = server(
        app, workers=2, limit_max_requests=100, limit_max_requests_jitter=50, access_log=False
    )
    with everybody(fresh):
        fresh.wait_for_count(FINISHED, ROUNDS)
    assert fresh.lines("it has reached its limit and asks for it")


def test_new_parents(server: StartServer, app: str) -> None:
    fresh = server(app, workers=2, access_log=False)
    workers(fresh)
    parent = fresh.pid
    try:
        with everybody(fresh) as load:
            for turn in range(1, max(2, ROUNDS // 4) + 1):
                os.kill(parent, signal.SIGUSR2)
                fresh.wait_for(rf"Stopping parent process \[{parent}\]")
                ended(parent)
                (*_, parent) = numbers(fresh.wait_for_count("New parent process .* serves", turn))
                load.wait_for_more()
    finally:
        os.kill(parent, signal.SIGTERM)
        ended(parent)


def test_kills(server: StartServer, app: str) -> None:
    """What is lost is what was under way in the killed worker, request for request.

    It is stopped first, so that what it has is known: who is connected then waits for it, or has an
    answer already. Whatever comes next goes to the others.
    """
    fresh = server(app, workers=2, access_log=False, timeout_worker_healthcheck=0)
    living = set(workers(fresh))
    strict_losses = fast_losses = 0
    with Load(fresh) as strict, ExitStack() as later:
        for pid in living:
            strict.wait_for_answer_of([pid])
        # All of its connections would go to a worker that serves before the other does.
        fast = later.enter_context(Wrk(fresh))
        for turn in range(ROUNDS):
            # Who serves wrk has the most to lose.
            victim = max(living, key=lambda pid: len(clients_of(pid) & fast.addresses()))
            strict.lost.clear()
            strict.finished.clear()
            stop(victim)
            fast_clients = clients_of(victim) & fast.addresses()
            strict_clients = clients_of(victim) - fast_clients
            os.kill(victim, signal.SIGKILL)
            fresh.wait_for(rf"Child process \[{victim}\] died \(killed by SIGKILL, as the kernel")
            fresh.wait_for_count(COMPLETE, 3 + turn)
            living = {*living, *numbers(fresh.lines(STARTED)[-1:])} - {victim}
            strict.wait_for_more()
            strict.wait_until(lambda each=strict_clients: each <= strict.lost | strict.finished)
            assert strict.lost == strict_clients - strict.finished
            strict_losses += len(strict.lost)
            fast_losses += len(fast_clients)
    assert len(strict.failures) == strict_losses
    assert fast.errors == fast_losses, fast.report
    answered = sum(strict.bodies.values()) + fast.requests
    print(f"{answered} requests, {strict_losses} + {fast_losses} lost with {ROUNDS} workers")


def stop(pid: int) -> None:
    """Have a process stand still, and wait until it does."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline
