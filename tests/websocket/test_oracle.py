"""Conversations made at random, with wsproto as the client.

An independent implementation of RFC 6455 and RFC 7692 must understand everything that comes back,
with each way of compressing.

FERRICORN_ORACLE asks for more conversations than the few of a normal run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from tests.conftest import StartServer
from tests.support.server import Server
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import Extension, PerMessageDeflate

APP = "tests.apps.sockets:app"
COUNT = int(os.environ.get("FERRICORN_ORACLE", "12"))

OFFERS = {
    "plain": None,
    "deflate": {},
    "no takeover": {"client_no_context_takeover": True, "server_no_context_takeover": True},
    "small window": {"client_max_window_bits": 9, "server_max_window_bits": 9},
}
WORDS = ["hello ", "wörld ", "€", "😀", "{}", "a" * 500, "the same again and again "]


class Talk:
    """One connection as wsproto sees it."""

    def __init__(
        self, server: Server, offer: dict[str, object] | None, dice: random.Random
    ) -> None:
        self.sock = server.connect().sock
        self.dice = dice
        self.machine = WSConnection(ConnectionType.CLIENT)
        self.events: list[Event] = []
        extensions: list[Extension] = [PerMessageDeflate(**offer)] if offer is not None else []  # type: ignore[arg-type]
        self.transmit(
            self.machine.send(Request(host="test", target="/echo", extensions=extensions))
        )
        while not self.events:
            self.hear()
        accepted = self.events.pop()
        assert isinstance(accepted, AcceptConnection)
        self.deflated = bool(accepted.extensions)

    def transmit(self, data: bytes) -> None:
        """Send bytes in pieces that fit nobody's frames."""
        while data:
            cut = self.dice.choice([1, 7, 100, 4096, len(data)])
            self.sock.sendall(data[:cut])
            data = data[cut:]

    def hear(self) -> None:
        """Read once."""
        data = self.sock.recv(self.dice.choice([1, 100, 65536]))
        self.machine.receive_data(data or None)
        self.events += self.machine.events()

    def hear_messages(self, count: int) -> list[str | bytes]:
        """Read until there are so many, and return them."""
        while len(heard := complete(self.events)) < count:
            self.hear()
        return heard


def pieces(message: str | bytes, dice: random.Random) -> Iterator[str | bytes]:
    while message:
        cut = dice.randint(1, len(message))
        yield message[:cut]
        message = message[cut:]


def message(dice: random.Random) -> str | bytes:
    kind = dice.random()
    if kind < 0.5:
        return "".join(dice.choices(WORDS, k=dice.randint(0, 30)))
    size = dice.choice([0, 1, 125, 126, 5000, 65535, 65536, 100_000])
    return dice.randbytes(size) if kind < 0.8 else b"z" * size


def complete(events: list[Event]) -> list[str | bytes]:
    """Return the messages that are whole."""
    whole: list[str | bytes] = []
    parts: list[str | bytes] = []
    for event in events:
        if isinstance(event, Message):
            parts.append(event.data)
            if event.message_finished:
                empty = "" if isinstance(event, TextMessage) else b""
                whole.append(empty.join(parts))  # type: ignore[arg-type]
                parts = []
    return whole


def ended(events: list[Event]) -> int | None:
    """Return the code that the connection was closed with."""
    return next((int(e.code) for e in events if isinstance(e, CloseConnection)), None)


@pytest.mark.parametrize("takeover", [False, True], ids=["alone", "takeover"])
@pytest.mark.parametrize("offer", OFFERS, ids=list(OFFERS))
def test_random_conversations(
    shared_server: StartServer, everywhere: dict[str, str], offer: str, takeover: bool
) -> None:
    here = shared_server(APP, ws_deflate_takeover=takeover, ws_deflate_min_size=10, **everywhere)
    for seed in range(COUNT):
        dice = random.Random(f"{offer} {seed}")
        talk = Talk(here, OFFERS[offer], dice)
        assert talk.deflated == (OFFERS[offer] is not None)
        sent: list[str | bytes] = []
        pings: list[bytes] = []
        for _ in range(dice.randint(1, 15)):
            if dice.random() < 0.2:
                pings.append(dice.randbytes(dice.randint(0, 125)))
                talk.transmit(talk.machine.send(Ping(pings[-1])))
                continue
            sent.append(message(dice))
            cuts = list(pieces(sent[-1], dice)) or [sent[-1]]
            for number, piece in enumerate(cuts):
                last = number == len(cuts) - 1
                kind = TextMessage if isinstance(piece, str) else BytesMessage
                talk.transmit(talk.machine.send(kind(data=piece, message_finished=last)))  # type: ignore[arg-type]
            if dice.random() < 0.5:
                talk.hear_messages(len(sent))
        assert talk.hear_messages(len(sent)) == sent, f"{offer}, seed {seed}"
        talk.transmit(talk.machine.send(CloseConnection(code=1000, reason="done")))
        while not ended(talk.events):
            talk.hear()
        pongs = [bytes(event.payload) for event in talk.events if isinstance(event, Pong)]
        assert pongs == pings, f"{offer}, seed {seed}"
        assert ended(talk.events) == 1000
        assert talk.sock.recv(1) == b""
        talk.sock.close()
