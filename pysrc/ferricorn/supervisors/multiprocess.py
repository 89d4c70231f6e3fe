"""The parent of several workers: its signals, its turns, and whom it tells what.

It turns as signals, words of workers and the clock have it, and nothing that it does waits for a
process. Which worker is started, replaced and ended is the crew's business (`crew.py`); here are
the causes that come from outside, and what a service manager and another parent want to hear.
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
from ferricorn.supervisors.crew import Crew
from ferricorn.supervisors.process import Process
from ferricorn.supervisors.upgrade import Upgrade, take_ready_fd, tell_ready

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

# The longest time between two looks at the workers.
_TURN = 0.5

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
        self.crew = Crew(config, self._start, self._bury, keeps_trying=self.keeps_trying)
        self.should_exit = threading.Event()
        self.signal_queue: list[int] = []
        self.status = 0
        self.handed_over = False
        self._upgrade: Upgrade | None = None
        self._ready_fd = take_ready_fd()
        self._board = Board.open()
        self._told = False
        self._reloading = False
        self._stopping = False
        self._drains = False
        self._hurried = False
        self._interrupts = 0
        self._wakeup, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    @property
    def processes(self) -> list[Process]:
        """The workers that count: those that end already do not."""
        return self.crew.processes

    @property
    def processes_num(self) -> int:
        """How many there should be."""
        return self.crew.wanted

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
        for process in self.crew.everybody:
            process.listen()

    # Starting and ending one

    def _start(self) -> Process:
        process = Process(self.config, self.sockets, self.target, self._board)
        process.start()
        self._selector.register(process.channel, selectors.EVENT_READ)
        return process

    def _bury(self, process: Process) -> None:
        self._selector.unregister(process.channel)
        process.join()

    # The workers

    def init_processes(self) -> None:
        """Start the workers."""
        self.crew.fill()

    def keep_subprocess_alive(self) -> None:
        """Bury who died, replace who must be, start who is missing."""
        if self.should_exit.is_set():
            return
        self.crew.look()
        if self.crew.failed:
            self.status = STARTUP_FAILURE
            self.should_exit.set()
        elif self.crew.serves and not self._told:
            self._told = True
            self.on_ready()
        elif self._reloading and not self.crew.replacing:
            self._reloading = False
            systemd.notify("READY=1")

    def on_ready(self) -> None:
        """Tell who waits that all workers serve."""
        systemd.notify("READY=1")
        if self._ready_fd is not None:
            tell_ready(self._ready_fd)
            self._ready_fd = None

    def restart_all(self) -> None:
        """Replace every worker, one after the other."""
        self.crew.replace_all()
        self._reloading = True
        systemd.notify_reloading()

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
        for process in self.crew.everybody:
            process.drain()
        logger.info("Draining for %g seconds. (CTRL+C to end now)", self.config.drain_delay)
        self._drains = True
        end = time.monotonic() + self.config.drain_delay
        while self.crew.everybody and not self._hurried and (left := end - time.monotonic()) > 0:
            self._wait(min(_TURN, left))
            self.handle_signals()
            self.crew.let_go()
        self._drains = False
        if self._interrupts > 1:
            # To be passed on when the workers have heard that they are to end.
            self.signal_queue.append(signal.SIGINT)

    def terminate_all(self) -> None:
        """Tell every worker to end."""
        self.crew.end()

    def join_all(self) -> None:
        """Wait for every worker that was told to end; a second SIGINT cuts that short."""
        for process in self.crew.leaving:
            logger.info("Waiting for child process [%d]", process.pid)
        while self.crew.leaving:
            self.crew.see_off()
            if self.crew.leaving:
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
            logger.info("Received SIGINT, waiting for nobody.")
            for process in self.crew.leaving:
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
        self.crew.wanted += 1

    def handle_ttou(self) -> None:
        """Have one worker less, but one."""
        logger.info("Received SIGTTOU, decreasing number of processes.")
        if self.processes_num <= 1:
            logger.info(
                "Already reached one process, cannot decrease the number of processes anymore."
            )
            return
        self.crew.shrink()
