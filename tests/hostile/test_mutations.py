"""A few thousand of the talks that `mutate` holds by the hundred thousand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.conftest import DRIVERS
from tests.hostile.mutate import play
from tests.support.server import Server


@pytest.mark.parametrize("driver", DRIVERS)
def test_whatever_comes_is_answered_or_closed(server: Callable[..., Server], driver: str) -> None:
    mutated = server("tests.wire.app:sometimes", driver=driver, access_log=False)
    seen = play(mutated, 1, range(4000))
    assert seen[200] > 4000, "most of what is valid, and some of what is changed"
    assert seen[400] > 1000
    mutated.stop()
    assert not mutated.lines("Traceback|Exception")
