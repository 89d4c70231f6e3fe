"""The parent of several workers: as many as there should be, and each replaced when it must be.

One rule for every cause, be it a signal, a limit or a hang: a replacement is started, it says that
it serves, and only then the old worker is told to end. One at a time, and nothing here waits for a
process: the parent turns as signals, words of workers and the clock have it, and what it wants is
in its fields. So a crash is seen while a replacement starts, and a signal while a worker drains.

`processes` are the workers that count; `_incoming` will take the place of `_outgoing`; `_leaving`
were told to end and are waited for. What cannot start is tried again, at growing intervals.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ferricorn import systemd
from ferricorn.application import STARTUP_FAILURE
from ferricorn.logging import paint
from ferricorn.supervisors.board import Board
from ferricorn.supervisors.process import Process
from ferricorn.supervisors.upgrade import Upgrade, take_ready_fd, tell_ready
from ferricorn.supervisors.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferricorn.config import Config

SIGNALS = {
    number: name
    for name in (
        *("INT", "TERM", "BREAK", "HUP", "QUIT", "TTIN", "TTOU"),
        *("USR1", "USR2", "WINCH", "CHLD"),
    )
    if (number := getattr(signal, f"SIG{name}", None)) is not None
}
"""What the parent takes, whether it does something or not."""

# The signals that ask for the end.
_ENDS = {"INT", "TERM", "BREAK"}

# How a worker ends that was told to.
_GOOD_ENDS = {0, -signal.SIGTERM, -signal.SIGINT}

# The longest time between two looks at the workers.
_TURN = 0.5

# A worker may take this long to end its lifespan after its time for clients is up.
_LAST_WORDS = 30.0

logger = logging.getLogger("uvicorn.error")


class Multiprocess:
    """Runs `config.workers` workers on the sockets until SIGINT, SIGTERM or `should_exit`.

    `run()` leaves the exit status of the parent in `status`; `handed_over` says that another parent
    serves on the sockets now.
    """

    keeps_trying = True
    """Whether a start that failed is tried again without anything having changed."""

    def __init__(
        self,
        config: Config,
        sockets: list[socket.socket],
        target: Callable[..., None] | None = None,
    ) -> None:
        self.config = config
        self.sockets = sockets
        self.target = target
        self.processes_num = config.workers
        self.processes: list[Process] = []
        self.should_exit = threading.Event()
        self.signal_queue: list[int] = []
        self.status = 0
        self.handed_over = False
        self._upgrade: Upgrade | None = None
        self._ready_fd = take_ready_fd()
        self._upkeep = Upkeep(config)
        self._board = Board.open()
        self._started = False
        self._stopping = False
        self._drains = False
        self._hurried = False
        self._interrupts = 0
        self._incoming: Process | None = None
        self._outgoing: Process | None = None
        self._due: list[Process] = []
        self._leaving: list[Process] = []
        self._wakeup, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Start the workers, keep them until the end, and end them."""
        self._take_signals()
        self._log_parent("Started parent process [%d]")
        watchdog = systemd.watchdog_interval()
        fed = 0.0
        self.init_processes()
        while not self.should_exit.is_set():
            self._wait(min(_TURN, watchdog))
            if time.monotonic() - fed >= watchdog / 2:
                fed = time.monotonic()
                systemd.notify("WATCHDOG=1")
            self.handle_signals()
            self.keep_subprocess_alive()
            self._look_at_upgrade()
        if self._upgrade is not None:
            self._upgrade.abandon()
        self._stopping = True
        if not self.handed_over:
            systemd.notify("STOPPING=1")
            self._drain()
        self.terminate_all()
        self.join_all()
        if self._board is not None:
            self._board.close()
        self._log_parent("Stopping parent process [%d]")

    @staticmethod
    def _log_parent(text: str) -> None:
        logger.info(
            text, os.getpid(), extra={"color_message": text.replace("%d", paint("%d", "cyan"))}
        )

    # Waiting

    def _take_signals(self) -> None:
        for end in (self._wakeup, self._waker):
            end.setblocking(False)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        for number in SIGNALS:
            signal.signal(number, lambda number, _: self.signal_queue.append(number))
        # Of a burst of signals it is enough to wake once.
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def wake(self) -> None:
        """Have the parent look around at once. May be called in any thread."""
        with suppress(BlockingIOError):
            self._waker.send(b"\0")

    def _wait(self, seconds: float) -> None:
        """Wait for a signal or a worker's word, and take in all words."""
        self._selector.select(seconds)
        with suppress(BlockingIOError):
            while self._wakeup.recv(1024):
                pass
        for process in self._all():
            process.listen()

    def _all(self) -> list[Process]:
        incoming = [self._incoming] if self._incoming else []
        return [*self.processes, *incoming, *self._leaving]

    # Starting and ending one

    def _start(self) -> Process:
        process = Process(self.config, self.sockets, self.target, self._board)
        process.start()
        self._selector.register(process.channel, selectors.EVENT_READ)
        return process

    def _retire(self, process: Process) -> None:
        """Have a worker end: gracefully, unless it would not hear of it."""
        if process.ready and not process.is_alive(self.config.timeout_worker_healthcheck):
            process.kill("hung")
        else:
            process.terminate()
        self._leaving.append(process)

    def _bury(self, process: Process) -> None:
        self._selector.unregister(process.channel)
        process.join()

    def _bury_leavers(self) -> None:
        for process in [each for each in self._leaving if each.exitcode is not None]:
            self._leaving.remove(process)
            self._bury(process)
            if process.exitcode not in _GOOD_ENDS:
                self._log_death(process)

    @staticmethod
    def _log_death(process: Process) -> None:
        logger.error("Child process [%d] died (%s)", process.pid, process.describe_end())

    # The workers

    def init_processes(self) -> None:
        """Start the workers that are missing, unless starts have failed too often of late."""
        while len(self.processes) < self.processes_num and self._upkeep.may_start():
            self.processes.append(self._start())

    def keep_subprocess_alive(self) -> None:
        """Bury who died, replace who must be, start who is missing."""
        if self.should_exit.is_set():
            return
        if not self._started and len(self.processes) == self.processes_num:
            self._started = all(process.ready for process in self.processes)
            if self._started:
                self.on_ready()
        self._bury_leavers()
        self._end_the_late()
        for process in [each for each in self.processes if each.exitcode is not None]:
            self._lost(process)
        if self.should_exit.is_set():
            return
        for process in self.processes:
            reason = self._upkeep.reason_to_replace(process)
            if reason and process not in self._due and process is not self._outgoing:
                if not process.is_alive(self.config.timeout_worker_healthcheck):
                    process.explain()
                if self._upkeep.may_start():
                    logger.info("Replacing child process [%d]: %s", process.pid, reason)
                    self._due.append(process)
        self._replace()
        self.init_processes()

    def on_ready(self) -> None:
        """Tell who waits that all workers serve."""
        systemd.notify("READY=1")
        if self._ready_fd is not None:
            tell_ready(self._ready_fd)
            self._ready_fd = None

    def _lost(self, process: Process) -> None:
        """Deal with a worker that ended though nobody had told it to."""
        self.processes.remove(process)
        self._due = [each for each in self._due if each is not process]
        if process is self._outgoing and self._incoming is not None:
            self.processes.append(self._incoming)
            self._incoming = self._outgoing = None
        self._bury(process)
        failed_to_start = not process.ready and (process.exitcode or 0) > 0
        if failed_to_start and not self._started and self.keeps_trying:
            logger.error(
                "Child process [%d] failed to start, stopping the parent process.", process.pid
            )
            self.status = STARTUP_FAILURE
            self.should_exit.set()
            return
        self._log_death(process)
        if failed_to_start and not self.keeps_trying:
            self._upkeep.wait_for_change()
        else:
            self._upkeep.note_death(process.age)

    def _end_the_late(self) -> None:
        """Kill who should have ended long ago, if there is a time for clients at all."""
        grace = self.config.timeout_graceful_shutdown
        for process in self._leaving:
            if grace is None or process.retired is None or process.cause:
                continue
            if time.monotonic() - process.retired > grace + _LAST_WORDS:
                process.kill("it did not end in time")

    # Replacing

    def restart_all(self) -> None:
        """Replace every worker, one after the other."""
        if self._incoming is not None:
            # It was started before whatever has changed.
            self._incoming.kill("restarted")
            self._leaving.append(self._incoming)
            self._incoming = self._outgoing = None
        self._upkeep.forget_failures()
        self._due = list(self.processes)
        systemd.notify_reloading()

    def _replace(self) -> None:
        """Take the replacement under way a step further, or begin the next."""
        if self._incoming is not None and self._outgoing is not None:
            if self._incoming.exitcode is not None:
                self._give_up(self._incoming, self._outgoing)
            elif self._incoming.ready:
                place = self.processes.index(self._outgoing)
                self.processes[place] = self._incoming
                self._retire(self._outgoing)
            else:
                return
            self._incoming = self._outgoing = None
            if not self._due:
                systemd.notify("READY=1")
        if self._due and self._upkeep.may_start():
            self._outgoing = self._due.pop(0)
            self._incoming = self._start()

    def _give_up(self, incoming: Process, outgoing: Process) -> None:
        logger.error(
            "New child process [%d] did not start (%s); keeping worker [%d] and aborting the "
            "restart.",
            incoming.pid,
            incoming.describe_end(),
            outgoing.pid,
        )
        self._due.clear()
        self._bury(incoming)
        if self.keeps_trying:
            self._upkeep.note_death(0)

    def _look_at_upgrade(self) -> None:
        if self._upgrade is None or (serves := self._upgrade.outcome()) is None:
            return
        pid, self._upgrade = self._upgrade.pid, None
        if serves:
            logger.info("New parent process [%d] serves, exiting.", pid)
            systemd.notify(f"MAINPID={pid}", "READY=1")
            self.handed_over = True
            self.should_exit.set()
        else:
            logger.error("New parent process [%d] did not start; going on without it.", pid)
            systemd.notify("READY=1")

    # The end

    def _drain(self) -> None:
        """Let the workers serve on for the delay, and say that they will end.

        A second signal ends the delay. Whoever dies meanwhile is buried and not replaced.
        """
        if not self.config.drain_delay:
            return
        for process in self._all():
            process.drain()
        logger.info("Draining for %g seconds. (CTRL+C to end now)", self.config.drain_delay)
        self._drains = True
        end = time.monotonic() + self.config.drain_delay
        while self._all() and not self._hurried and (left := end - time.monotonic()) > 0:
            self._wait(min(_TURN, left))
            self.handle_signals()
            if self._incoming is not None and self._incoming.exitcode is not None:
                self._leaving.append(self._incoming)
                self._incoming = self._outgoing = None
            for process in [each for each in self.processes if each.exitcode is not None]:
                self.processes.remove(process)
                self._leaving.append(process)
            self._bury_leavers()
        self._drains = False
        if self._interrupts > 1:
            # To be passed on when the workers have heard that they are to end.
            self.signal_queue.append(signal.SIGINT)

    def terminate_all(self) -> None:
        """Tell every worker to end."""
        if self._incoming is not None:
            self._incoming.terminate()
            self._leaving.append(self._incoming)
            self._incoming = None
        while self.processes:
            self._retire(self.processes.pop(0))

    def join_all(self) -> None:
        """Wait for every worker that was told to end; a second SIGINT cuts that short."""
        for process in self._leaving:
            logger.info("Waiting for child process [%d]", process.pid)
        while self._leaving:
            self._bury_leavers()
            self._end_the_late()
            if self._leaving:
                self._wait(_TURN)
                self.handle_signals()

    # Signals

    def handle_signals(self) -> None:
        """Do what the signals since the last time ask for."""
        while self.signal_queue:
            name = SIGNALS[self.signal_queue.pop(0)]
            handler = getattr(self, f"handle_{name.lower()}", None)
            if handler is None:
                logger.debug("Received signal %s, but no handler is defined for it.", name)
            elif not self._stopping or name == "INT" or (self._drains and name in _ENDS):
                handler()

    def handle_int(self) -> None:
        """End, or insist on the end."""
        self._interrupts += 1
        if self._stopping and not self._drains:
            for process in self._leaving:
                process.interrupt()
            return
        self._end("SIGINT")

    def handle_term(self) -> None:
        """End."""
        self._end("SIGTERM")

    def handle_break(self) -> None:
        """End: what Windows has for SIGTERM."""
        self._end("SIGBREAK")

    def _end(self, name: str) -> None:
        logger.info("Received %s, exiting.", name)
        self._hurried = self.should_exit.is_set()
        self.should_exit.set()

    def handle_chld(self) -> None:
        """Do nothing: the signal has woken the parent, and it looks at every child anyway."""

    def handle_hup(self) -> None:
        """Replace every worker."""
        logger.info("Received SIGHUP, restarting processes.")
        self.restart_all()

    def handle_usr2(self) -> None:
        """Start a new parent process, and make way for it when it serves."""
        if self._upgrade is not None:
            logger.info("Received SIGUSR2, but a new parent process starts already.")
        elif os.getpid() == 1:
            # With the first process of a container all others end.
            logger.error("Received SIGUSR2, which process 1 cannot obey.")
        else:
            systemd.notify_reloading()
            self._upgrade = Upgrade(self.sockets)
            logger.info("Received SIGUSR2, starting new parent process [%d].", self._upgrade.pid)

    def handle_ttin(self) -> None:
        """Have one worker more."""
        logger.info("Received SIGTTIN, increasing the number of processes.")
        self.processes_num += 1

    def handle_ttou(self) -> None:
        """Have one worker less, but one."""
        logger.info("Received SIGTTOU, decreasing number of processes.")
        if self.processes_num <= 1:
            logger.info(
                "Already reached one process, cannot decrease the number of processes anymore."
            )
            return
        self.processes_num -= 1
        if len(self.processes) > self.processes_num:
            process = self.processes.pop()
            self._due = [each for each in self._due if each is not process]
            if process is self._outgoing and self._incoming is not None:
                self._incoming.kill("not needed any more")
                self._leaving.append(self._incoming)
                self._incoming = self._outgoing = None
            self._retire(process)
