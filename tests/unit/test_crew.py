"""The rule of replacement, with workers that do only what a test says."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from ferricorn.supervisors import crew, upkeep
from ferricorn.supervisors.crew import Crew


class Clock:
    """The time, which stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Worker:
    """A process as the crew sees it."""

    def __init__(self, pid: int, clock: Clock) -> None:
        self.pid = pid
        self._clock = clock
        self._born = clock.now
        self.ready = False
        self.alive = True
        self.at_limit = False
        self.exitcode: int | None = None
        self.retired: float | None = None
        self.cause: str | None = None
        self.explained = False

    @property
    def age(self) -> float:
        return self._clock.now - self._born

    def is_alive(self, timeout: float) -> bool:
        return self.alive and self.exitcode is None

    def memory(self) -> int:
        return 0

    def explain(self) -> None:
        self.explained = True

    def terminate(self) -> None:
        self.retired = self._clock.now

    def kill(self, cause: str | None = None) -> None:
        self.cause = cause
        self.retired = self.retired or self._clock.now

    def describe_end(self) -> str:
        return f"status {self.exitcode}"


class Yard:
    """A crew, the workers that it started (numbered from 0), and those that it buried."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.started: list[Worker] = []
        self.buried: list[Worker] = []
        keeps_trying = options.pop("keeps_trying", True)
        config: Any = SimpleNamespace(
            **{
                "workers": 2,
                "timeout_worker_healthcheck": 5,
                "timeout_graceful_shutdown": None,
                "worker_max_rss": None,
                "worker_lifetime": None,
                "worker_lifetime_jitter": 0,
                **options,
            }
        )
        start: Any = self._start
        bury: Any = self.buried.append
        self.crew = Crew(config, start, bury, keeps_trying=keeps_trying)

    def _start(self) -> Worker:
        self.started.append(Worker(len(self.started), self.clock))
        return self.started[-1]

    def serve(self) -> Yard:
        """Have everybody who was started say that it serves, and look."""
        self.crew.fill()
        for each in self.started:
            each.ready = True
        self.crew.look()
        return self

    def end(self, number: int, code: int) -> None:
        self.started[number].exitcode = code
        self.crew.look()

    @property
    def serving(self) -> list[int | None]:
        return [each.pid for each in self.crew.processes]

    @property
    def leaving(self) -> list[int | None]:
        return [each.pid for each in self.crew.leaving]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (crew, upkeep):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def yard(clock: Clock) -> Yard:
    return Yard(clock).serve()


def test_all_replacements_go_one_by_one(yard: Yard) -> None:
    yard.crew.replace_all()
    yard.crew.look()
    assert (yard.serving, yard.leaving, len(yard.started)) == ([0, 1], [], 3)
    yard.crew.look()
    assert (yard.serving, yard.leaving, len(yard.started)) == ([0, 1], [], 3)
    yard.serve()
    assert (yard.serving, yard.leaving, len(yard.started)) == ([2, 1], [0], 4)
    yard.serve()
    assert (yard.serving, yard.leaving, len(yard.started)) == ([2, 3], [0, 1], 4)
    assert not yard.crew.replacing
    yard.end(0, 0)
    yard.end(1, -signal.SIGTERM)
    assert (yard.leaving, [each.pid for each in yard.buried]) == ([], [0, 1])


def test_a_worker_that_dies_while_its_replacement_starts_is_not_started_twice(yard: Yard) -> None:
    yard.started[0].at_limit = True
    yard.crew.look()
    yard.end(0, -signal.SIGKILL)
    assert yard.serving == [1, 2]
    yard.serve()
    assert (yard.serving, yard.leaving, len(yard.started)) == ([1, 2], [], 3)


def test_a_replacement_that_does_not_start_ends_the_round(yard: Yard, log: Any) -> None:
    yard.crew.replace_all()
    yard.crew.look()
    yard.end(2, 3)
    assert (yard.serving, yard.leaving, yard.crew.replacing) == ([0, 1], [], False)
    assert "keeping worker [0] and aborting the restart" in log.lines[-1]
    assert [each.pid for each in yard.buried] == [2]


def test_a_change_during_a_round_begins_it_anew(yard: Yard) -> None:
    yard.crew.replace_all()
    yard.crew.look()
    yard.serve()
    assert yard.serving == [2, 1]
    yard.crew.replace_all()
    assert yard.started[3].cause == "restarted"
    yard.crew.look()
    yard.serve()
    yard.serve()
    assert yard.serving == [4, 5]


def test_one_less(yard: Yard) -> None:
    yard.crew.shrink()
    yard.crew.look()
    assert (yard.serving, yard.leaving) == ([0], [1])


def test_one_less_needs_no_replacement(yard: Yard) -> None:
    yard.crew.replace_all()
    yard.crew.look()
    yard.serve()
    assert yard.crew.outgoing is yard.started[1]
    yard.crew.shrink()
    yard.crew.look()
    assert (yard.serving, yard.leaving, yard.crew.replacing) == ([2], [0, 3, 1], False)
    assert yard.started[3].cause == "not needed any more"


def test_a_hung_worker_is_explained_replaced_and_killed(yard: Yard) -> None:
    yard.started[1].alive = False
    yard.crew.look()
    assert yard.started[1].explained
    assert yard.started[1].cause is None
    yard.serve()
    assert yard.started[1].cause == "hung"
    assert yard.serving == [0, 2]


def test_a_first_start_that_fails_is_the_end(clock: Clock) -> None:
    yard = Yard(clock)
    yard.crew.fill()
    yard.started[0].ready = True
    yard.end(1, 1)
    assert yard.crew.failed
    assert not yard.crew.serves
    assert len(yard.started) == 2


def test_a_start_that_fails_waits_for_a_change_if_it_cannot_help_itself(clock: Clock) -> None:
    yard = Yard(clock, keeps_trying=False, workers=1)
    yard.crew.fill()
    yard.end(0, 1)
    clock.now += 10_000
    yard.crew.look()
    assert (len(yard.started), yard.crew.failed) == (1, False)
    yard.crew.replace_all()
    yard.crew.look()
    assert len(yard.started) == 2


def test_deaths_of_young_workers_slow_the_starts_down(clock: Clock) -> None:
    yard = Yard(clock, workers=1).serve()
    delays = []
    for _ in range(9):
        died = clock.now
        yard.end(-1, 1)
        while yard.crew.processes == []:
            clock.now += 0.5
            yard.crew.look()
        delays.append(clock.now - died)
    assert delays == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    yard.started[-1].ready = True
    clock.now += 60
    yard.end(-1, -signal.SIGKILL)
    assert len(yard.crew.processes) == 1


def test_a_worker_is_too_old_by_its_lifetime_and_its_own_jitter(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    jitters = iter([10.0, 20.0])
    monkeypatch.setattr(upkeep.random, "uniform", lambda low, high: next(jitters, 0.0))
    yard = Yard(clock, worker_lifetime=100, worker_lifetime_jitter=20).serve()
    clock.now += 110
    yard.crew.look()
    assert not yard.crew.replacing
    clock.now += 1
    yard.crew.look()
    assert yard.crew.outgoing is yard.started[0]
    yard.serve()
    assert (yard.serving, yard.crew.replacing) == ([2, 1], False)


def test_who_does_not_end_in_time_is_killed(clock: Clock) -> None:
    yard = Yard(clock, timeout_graceful_shutdown=5).serve()
    yard.crew.end()
    assert (yard.serving, yard.leaving) == ([], [0, 1])
    clock.now += 35
    yard.crew.see_off()
    assert yard.started[0].cause is None
    clock.now += 1
    yard.crew.see_off()
    assert yard.started[0].cause == "it did not end in time"


def test_who_may_take_its_time_is_not(yard: Yard) -> None:
    yard.crew.end()
    yard.clock.now += 10_000
    yard.crew.see_off()
    assert yard.started[0].cause is None
