"""The workers of one parent: as many as there should be, and each replaced when it must be.

One rule for every cause, be it a signal, a limit or a hang: a replacement is started, it says that
it serves, and only then the old worker is told to end. One at a time, and nothing here waits for a
process: `look()` takes whatever is under way a step further, and what is wanted is in the fields.
So a crash is seen while a replacement starts, and a signal while a worker drains.

`processes` are the workers that count; `incoming` will take the place of `outgoing`; `leaving`
were told to end and are waited for. What cannot start is tried again, at growing intervals. Knows
neither signals nor who else is interested.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ferricorn.supervisors.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferricorn.config import Config
    from ferricorn.supervisors.process import Process

# How a worker ends that was told to: well, by SIGINT or by SIGTERM.
_GOOD_ENDS = {0, -2, -15}

# A worker may take this long to end its lifespan after its time for clients is up.
_LAST_WORDS = 30.0

logger = logging.getLogger("uvicorn.error")


class Crew:
    """Workers that `start()` starts and `bury(process)` waits for when they have ended.

    `serves` says that all have been ready at once, `failed` that the first ones cannot start, so
    that there is no use in going on. Without `keeps_trying`, a start that failed is not tried again
    before something has changed.
    """

    def __init__(
        self,
        config: Config,
        start: Callable[[], Process],
        bury: Callable[[Process], None],
        *,
        keeps_trying: bool = True,
    ) -> None:
        self._config = config
        self._start = start
        self._bury = bury
        self._keeps_trying = keeps_trying
        self._upkeep = Upkeep(config)
        self.wanted = config.workers
        self.processes: list[Process] = []
        self.incoming: Process | None = None
        self.outgoing: Process | None = None
        self.due: list[Process] = []
        self.leaving: list[Process] = []
        self.serves = False
        self.failed = False

    @property
    def everybody(self) -> list[Process]:
        """All processes that have not been buried."""
        incoming = [self.incoming] if self.incoming else []
        return [*self.processes, *incoming, *self.leaving]

    @property
    def replacing(self) -> bool:
        """Whether a replacement is under way or due."""
        return self.incoming is not None or bool(self.due)

    def fill(self) -> None:
        """Start the workers that are missing, unless starts have failed too often of late."""
        while len(self.processes) < self.wanted and self._upkeep.may_start():
            self.processes.append(self._start())

    def look(self) -> None:
        """Bury who died, replace who must be, start who is missing; unless it `failed`."""
        if len(self.processes) == self.wanted and all(each.ready for each in self.processes):
            self.serves = True
        self.see_off()
        for process in [each for each in self.processes if each.exitcode is not None]:
            self._lost(process)
        if self.failed:
            return
        for process in self.processes:
            reason = self._upkeep.reason_to_replace(process)
            if reason and process not in self.due and process is not self.outgoing:
                if not process.is_alive(self._config.timeout_worker_healthcheck):
                    process.explain()
                if self._upkeep.may_start():
                    logger.info("Replacing child process [%d]: %s", process.pid, reason)
                    self.due.append(process)
        self._replace()
        self.fill()

    def replace_all(self) -> None:
        """Replace every worker, one after the other: something has changed."""
        # What is on its way was started before that.
        self._dismiss_incoming("restarted")
        self._upkeep.forget_failures()
        self.due = list(self.processes)

    def shrink(self) -> None:
        """Do with one worker less."""
        self.wanted -= 1
        if len(self.processes) > self.wanted:
            process = self.processes.pop()
            self._forget(process)
            if process is self.outgoing:
                self._dismiss_incoming("not needed any more")
            self._retire(process)

    def end(self) -> None:
        """Tell every worker to end."""
        if self.incoming is not None:
            self.incoming.terminate()
            self.leaving.append(self.incoming)
            self.incoming = None
        while self.processes:
            self._retire(self.processes.pop(0))

    def let_go(self) -> None:
        """Bury those who have ended, and replace nobody."""
        if self.incoming is not None and self.incoming.exitcode is not None:
            self.leaving.append(self.incoming)
            self.incoming = self.outgoing = None
        for process in [each for each in self.processes if each.exitcode is not None]:
            self.processes.remove(process)
            self.leaving.append(process)
        self.see_off()

    def see_off(self) -> None:
        """Bury those who have ended as they were told to, and kill who should have long ago."""
        for process in [each for each in self.leaving if each.exitcode is not None]:
            self.leaving.remove(process)
            self._bury(process)
            if process.exitcode not in _GOOD_ENDS:
                _log_death(process)
        grace = self._config.timeout_graceful_shutdown
        for process in self.leaving:
            if grace is None or process.retired is None or process.cause:
                continue
            if time.monotonic() - process.retired > grace + _LAST_WORDS:
                process.kill("it did not end in time")

    def _retire(self, process: Process) -> None:
        """Have a worker end: gracefully, unless it would not hear of it."""
        if process.ready and not process.is_alive(self._config.timeout_worker_healthcheck):
            process.kill("hung")
        else:
            process.terminate()
        self.leaving.append(process)

    def _lost(self, process: Process) -> None:
        """Deal with a worker that ended though nobody had told it to."""
        self.processes.remove(process)
        self._forget(process)
        if process is self.outgoing and self.incoming is not None:
            self.processes.append(self.incoming)
            self.incoming = self.outgoing = None
        self._bury(process)
        failed_to_start = not process.ready and (process.exitcode or 0) > 0
        if failed_to_start and not self.serves and self._keeps_trying:
            logger.error(
                "Child process [%d] failed to start, stopping the parent process.", process.pid
            )
            self.failed = True
            return
        _log_death(process)
        if failed_to_start and not self._keeps_trying:
            self._upkeep.wait_for_change()
        else:
            self._upkeep.note_death(process.age)

    def _replace(self) -> None:
        """Take the replacement under way a step further, or begin the next."""
        if self.incoming is not None and self.outgoing is not None:
            if self.incoming.exitcode is not None:
                self._give_up(self.incoming, self.outgoing)
            elif self.incoming.ready:
                place = self.processes.index(self.outgoing)
                self.processes[place] = self.incoming
                self._retire(self.outgoing)
            else:
                return
            self.incoming = self.outgoing = None
        if self.due and self._upkeep.may_start():
            self.outgoing = self.due.pop(0)
            self.incoming = self._start()

    def _give_up(self, incoming: Process, outgoing: Process) -> None:
        logger.error(
            "New child process [%d] did not start (%s); keeping worker [%d] and aborting the "
            "restart.",
            incoming.pid,
            incoming.describe_end(),
            outgoing.pid,
        )
        self.due.clear()
        self._bury(incoming)
        if self._keeps_trying:
            self._upkeep.note_death(0)

    def _dismiss_incoming(self, cause: str) -> None:
        if self.incoming is not None:
            self.incoming.kill(cause)
            self.leaving.append(self.incoming)
            self.incoming = self.outgoing = None

    def _forget(self, process: Process) -> None:
        self.due = [each for each in self.due if each is not process]


def _log_death(process: Process) -> None:
    logger.error("Child process [%d] died (%s)", process.pid, process.describe_end())
