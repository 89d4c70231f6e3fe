"""Runs a coroutine on a loop of a given make.

Not in the package's `__init__`, where the name `asyncio` is the module beside this one.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_T = TypeVar("_T")

if sys.version_info >= (3, 11):

    def run_coroutine(
        main: Coroutine[Any, Any, _T], factory: Callable[[], asyncio.AbstractEventLoop] | None
    ) -> _T:
        """Run the coroutine on a new loop; `factory=None` takes the loop of asyncio's policy."""
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)

else:

    def run_coroutine(
        main: Coroutine[Any, Any, _T], factory: Callable[[], asyncio.AbstractEventLoop] | None
    ) -> _T:
        """Run the coroutine on a new loop; `factory=None` takes the loop of asyncio's policy.

        Python 3.10 has no runner that takes a factory, only a policy to take the loop from.
        """
        if factory is None:
            return asyncio.run(main)
        policy = asyncio.get_event_loop_policy()
        asyncio.set_event_loop_policy(_FactoryPolicy(factory))
        try:
            return asyncio.run(main)
        finally:
            asyncio.set_event_loop_policy(policy)

    class _FactoryPolicy(asyncio.DefaultEventLoopPolicy):
        def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
            super().__init__()
            self._factory = factory

        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return self._factory()
