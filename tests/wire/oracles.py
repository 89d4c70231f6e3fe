"""What h11 and httptools make of the bytes that a client sends.

An oracle gives the requests that it could complete, in order, and the error that ended its work. It
answers each request at once, so that the next is read.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import h11
import httptools


@dataclass
class Heard:
    """A request as an oracle understood it."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


@dataclass
class Verdict:
    """The requests that were completed, and why there are no more."""

    requests: list[Heard]
    error: str


def h11_reads(data: bytes) -> Verdict:
    """Let h11 read a connection to its end."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    connection.receive_data(b"")
    requests: list[Heard] = []
    heard = Heard(b"", b"")
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                heard = Heard(event.method, event.target, list(event.headers))
            elif isinstance(event, h11.Data):
                heard.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests.append(heard)
                if heard.method == b"CONNECT":
                    return Verdict(requests, "tunnel")
                if connection.our_state is h11.SEND_RESPONSE:
                    response = h11.Response(status_code=200, headers=[("content-length", "0")])
                    connection.send(response)
                    connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return Verdict(requests, "close")
                connection.start_next_cycle()
            else:
                return Verdict(requests, "end")
    except h11.RemoteProtocolError as error:
        return Verdict(requests, str(error))


class _Collector:
    """What httptools calls."""

    def __init__(self) -> None:
        self.requests: list[Heard] = []
        self.heard = Heard(b"", b"")
        self.parser = httptools.HttpRequestParser(self)
        self.in_body = False

    def on_message_begin(self) -> None:
        self.heard = Heard(b"", b"")
        self.in_body = False

    def on_url(self, url: bytes) -> None:
        self.heard.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here as well.
        if not self.in_body:
            # It leaves whitespace behind a value to its user.
            self.heard.fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.heard.method = self.parser.get_method()
        self.in_body = True

    def on_body(self, body: bytes) -> None:
        self.heard.body += body

    def on_message_complete(self) -> None:
        self.requests.append(self.heard)


def httptools_reads(data: bytes) -> Verdict:
    """Let httptools read a connection to its end."""
    collector = _Collector()
    error = "end"
    try:
        collector.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        # It takes a body for bytes of the new protocol.
        collector.requests.pop()
        error = "upgrade"
    except httptools.HttpParserError as problem:
        error = str(problem)
    with contextlib.suppress(AttributeError):
        if not collector.parser.should_keep_alive() and error == "end":
            error = "close"
    return Verdict(collector.requests, error)
