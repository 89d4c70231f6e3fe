"""An epoll descriptor inside an event loop wakes it, each time: what the whole server stands on.

The server has an epoll of its own, and the loop watches that one descriptor. So these tests leave
the server out and ask the kernel and the loops: is a wake-up ever lost, does the loop spin for
nothing, what remains of a closed descriptor, and what does a fork do to all that. The inner
epoll is edge-triggered, the loop's is level-triggered, as in the server.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.conftest import LOOPS
from typing_extensions import Self

pytestmark = [
    pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is of Linux"),
    # A forked child of these tests runs nothing but its own few lines.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

EDGE = getattr(select, "EPOLLET", 0) | getattr(select, "EPOLLIN", 0)

Loop = asyncio.AbstractEventLoop


def new_loop(name: str) -> Loop:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.SelectorEventLoop()


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    loop = new_loop(request.param)
    yield loop
    loop.close()


class Pair:
    """Two ends of a connection; `fd` is the one to watch."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.fd = self.near.fileno()

    def write(self, data: bytes = b"x") -> None:
        self.far.send(data)

    def read(self) -> bytes:
        """Read all there is."""
        try:
            return self.near.recv(65536)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.near.close()
        self.far.close()


class Nest:
    """An inner epoll in a loop: `polled` is what each wake-up of the loop found in it."""

    def __init__(self, loop: Loop, on_event: Callable[[int], None] | None = None) -> None:
        self.loop = loop
        self.inner = select.epoll()
        self.pairs: dict[int, Pair] = {}
        self.polled: list[list[int]] = []
        self.batch = -1
        self._on_event = on_event or (lambda fd: None)
        loop.add_reader(self.inner.fileno(), self._turn)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.remove_reader(self.inner.fileno())
        self.inner.close()
        for pair in self.pairs.values():
            pair.close()

    def add(self, flags: int = EDGE) -> Pair:
        pair = Pair()
        self.pairs[pair.fd] = pair
        self.inner.register(pair.fd, flags)
        return pair

    def _turn(self) -> None:
        fds = [fd for fd, _ in self.inner.poll(0, self.batch)]
        self.polled.append(fds)
        for fd in fds:
            self._on_event(fd)

    def iterate(self, times: int = 20) -> None:
        """Let the loop look at its descriptors so many times, without waiting."""

        async def look() -> None:
            for _ in range(times):
                await asyncio.sleep(0)

        self.loop.run_until_complete(look())

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Let the loop sleep and be woken until the condition holds after a wake-up."""

        async def wait() -> None:
            done = self.loop.create_future()
            turn = self._turn

            def turn_and_look() -> None:
                turn()
                if condition() and not done.done():
                    done.set_result(None)

            self.loop.add_reader(self.inner.fileno(), turn_and_look)
            await done
            self.loop.add_reader(self.inner.fileno(), turn)

        self.loop.run_until_complete(wait())


def run_ring(loop: Loop, places: int, tokens: int, hops: int) -> None:
    """Pass tokens round a ring of connections; it stands still for ever if a wake-up is lost."""
    left = hops

    def pass_on(fd: int) -> None:
        nonlocal left
        came = len(nest.pairs[fd].read())
        left -= came
        if came and left > 0:
            ring[(place[fd] + 1) % places].write(b"x" * came)

    with Nest(loop, pass_on) as nest:
        ring = [nest.add() for _ in range(places)]
        place = {pair.fd: index for index, pair in enumerate(ring)}
        for index in range(tokens):
            ring[index * places // tokens].write()
        nest.run_until(lambda: left <= 0)


@pytest.mark.parametrize(("tokens", "hops"), [(1, 30_000), (16, 70_000)])
def test_no_wake_up_is_lost_in_a_hundred_thousand(loop: Loop, tokens: int, hops: int) -> None:
    run_ring(loop, places=64, tokens=tokens, hops=hops)


def test_a_write_of_another_thread_wakes_a_loop_that_sleeps(loop: Loop) -> None:
    rounds = 3_000
    answers = 0

    def answer(fd: int) -> None:
        nonlocal answers
        answers += len(nest.pairs[fd].read())
        nest.pairs[fd].near.send(b"y")

    def ask(pair: Pair) -> None:
        pair.far.setblocking(True)
        for _ in range(rounds):
            pair.write()
            assert pair.far.recv(1) == b"y"

    with Nest(loop, answer) as nest:
        thread = threading.Thread(target=ask, args=(nest.add(),), daemon=True)
        thread.start()
        nest.run_until(lambda: answers == rounds)
        thread.join()


def test_timers_and_callbacks_have_their_turn_while_events_keep_coming(loop: Loop) -> None:
    def feed(fd: int) -> None:
        nest.pairs[fd].read()
        nest.pairs[fd].write()

    async def others() -> None:
        await asyncio.sleep(0.01)
        await asyncio.to_thread(lambda: None)

    with Nest(loop, feed) as nest:
        nest.add().write()
        loop.run_until_complete(others())
        assert len(nest.polled) > 1


def test_what_a_small_batch_leaves_wakes_again(loop: Loop) -> None:
    with Nest(loop) as nest:
        nest.batch = 3
        pairs = [nest.add() for _ in range(10)]
        for pair in pairs:
            pair.write()
        nest.iterate()
        assert [len(fds) for fds in nest.polled] == [3, 3, 3, 1]
        assert {fd for fds in nest.polled for fd in fds} == {pair.fd for pair in pairs}


def test_a_wake_up_that_does_not_poll_is_repeated(loop: Loop) -> None:
    with Nest(loop) as nest:
        calls: list[None] = []
        loop.add_reader(nest.inner.fileno(), calls.append, None)
        nest.add().write()
        nest.iterate(20)
        assert len(calls) >= 10


def test_data_left_unread_does_not_make_the_loop_spin(loop: Loop) -> None:
    with Nest(loop) as nest:
        pair = nest.add()
        pair.write()
        nest.iterate(50)
        assert nest.polled == [[pair.fd]]
        pair.write()
        nest.iterate(50)
        assert nest.polled == [[pair.fd], [pair.fd]]


def test_a_level_triggered_inner_epoll_would_spin(loop: Loop) -> None:
    with Nest(loop) as nest:
        nest.add(select.EPOLLIN).write()
        nest.iterate(50)
        assert len(nest.polled) >= 20


def test_data_from_before_the_registration_is_an_event(loop: Loop) -> None:
    with Nest(loop) as nest:
        pair = Pair()
        pair.write()
        nest.pairs[pair.fd] = pair
        nest.inner.register(pair.fd, EDGE)
        nest.iterate()
        assert nest.polled == [[pair.fd]]


def test_a_peer_that_leaves_is_an_event(loop: Loop) -> None:
    with Nest(loop) as nest:
        pair = nest.add()
        pair.far.close()
        nest.run_until(lambda: len(nest.polled) == 1)
        assert nest.polled == [[pair.fd]]
        assert pair.read() == b""


def test_a_descriptor_closed_while_ready_is_forgotten(loop: Loop) -> None:
    with Nest(loop) as nest:
        gone, stays = nest.add(), nest.add()
        gone.write()
        stays.write()
        gone.near.close()
        nest.iterate(50)
        assert nest.polled == [[stays.fd]]


def test_the_last_ready_descriptor_closed_lets_the_loop_sleep(loop: Loop) -> None:
    with Nest(loop) as nest:
        gone = nest.add()
        gone.write()
        gone.near.close()
        nest.iterate(50)
        # The loop may be woken for nothing, but only once.
        assert nest.polled in ([], [[]])


def test_a_number_used_again_has_only_the_events_of_its_new_owner(loop: Loop) -> None:
    with Nest(loop) as nest:
        old = nest.add()
        old.write()
        fresh = Pair()
        number = old.fd
        os.dup2(fresh.fd, number)  # Closes the old socket, as `close` does.
        nest.inner.register(number, EDGE)
        nest.iterate()
        assert nest.polled in ([], [[]])
        fresh.write()
        nest.run_until(lambda: [number] in nest.polled)
        assert fresh.read() == b"x"
        fresh.close()


def test_an_event_of_a_batch_may_be_of_a_number_s_former_owner(loop: Loop) -> None:
    """Why a session is found by a number that is never used twice, rather than by its fd."""
    stale: list[bytes] = []

    def replace_the_other(fd: int) -> None:
        if fd in replaced:
            stale.append(nest.pairs[fd].read())
        else:
            (other,) = {first.fd, second.fd} - {fd}
            nest.pairs[other].close()
            nest.pairs[other] = fresh = Pair()
            while fresh.fd != other:
                stack.callback(fresh.close)
                nest.pairs[other] = fresh = Pair()
            replaced.add(other)

    replaced: set[int] = set()
    with ExitStack() as stack, Nest(loop, replace_the_other) as nest:
        first, second = nest.add(), nest.add()
        first.write()
        second.write()
        nest.iterate()
        assert stale == [b""]


def test_a_duplicate_keeps_a_closed_descriptor_s_events_coming(loop: Loop) -> None:
    """Why a descriptor leaves the epoll before it is closed: a forked child may hold another."""
    with Nest(loop) as nest:
        pair = nest.add()
        number = pair.fd
        duplicate = pair.near.dup()
        pair.near.close()
        pair.write()
        nest.iterate()
        assert nest.polled == [[number]]
        duplicate.close()


def test_an_inner_epoll_closed_and_another_with_its_number(loop: Loop) -> None:
    with Nest(loop) as nest:
        nest.add().write()
        number = nest.inner.fileno()
    assert nest.polled == []
    with Nest(loop) as nest:
        assert nest.inner.fileno() == number
        pair = nest.add()
        nest.iterate()
        assert nest.polled == []
        pair.write()
        nest.run_until(lambda: len(nest.polled) == 1)
        assert nest.polled == [[pair.fd]]


def test_inner_and_loop_made_after_a_fork(request: pytest.FixtureRequest, loop: Loop) -> None:
    name = request.node.callspec.params["loop"]
    with Nest(loop) as nest:
        mine = nest.add()

        def in_child() -> None:
            run_ring(new_loop(name), places=8, tokens=2, hops=2_000)

        assert status_of_child(in_child) == 0
        nest.iterate()
        assert nest.polled == []
        mine.write()
        nest.run_until(lambda: len(nest.polled) == 1)
        assert nest.polled == [[mine.fd]]


def test_an_inner_epoll_made_before_a_fork_mixes_both_processes_up(loop: Loop) -> None:
    """Why the epoll is made in the process that serves: a fork shares it, numbers and all."""
    (ready_end, ready), (go_on, go) = os.pipe(), os.pipe()
    with Nest(loop) as nest:

        def in_child() -> None:
            pair = Pair()
            number = os.dup2(pair.fd, 800)
            nest.inner.register(number, EDGE)
            pair.write()
            os.write(ready, b"!")
            os.read(go_on, 1)

        child = fork(in_child)
        os.read(ready_end, 1)
        nest.run_until(lambda: len(nest.polled) > 0)
        assert nest.polled[0] == [800]  # The parent has no such descriptor.
        with pytest.raises(OSError):
            os.fstat(800)
        os.write(go, b"!")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for fd in (ready_end, ready, go_on, go):
        os.close(fd)


def fork(function: Callable[[], None]) -> int:
    """Run the function in a forked child, and return the child's id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        function()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def status_of_child(function: Callable[[], None]) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(fork(function), 0)[1])
