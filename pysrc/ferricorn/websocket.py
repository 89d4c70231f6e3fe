"""How WebSockets are served: what the native floor is told of them.

The options in the shape that it reads, what writes the line of each connection, and the error of
who sends to a client that has left.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from ferricorn.logging import client_addr, path_with_query
from ferricorn.protocols.utils import ClientDisconnected

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferricorn.config import Config

logger = logging.getLogger("uvicorn.error")


class WebSockets(NamedTuple):
    """Times are seconds, 0 for none; sizes are bytes."""

    max_size: int
    max_queue: int
    max_connections: int | None
    send_high_water: int
    ping_interval: float
    ping_timeout: float
    close_timeout: float
    per_message_deflate: bool
    deflate_window_bits: int
    deflate_takeover: bool
    deflate_min_size: int
    log: Callable[[dict[str, Any], int | None], None]
    disconnected: type[Exception]

    @classmethod
    def of(cls, config: Config) -> WebSockets | None:
        """Return what the options say, None where there are none: switched off, or with WSGI."""
        if config.ws == "none" or config.only_wsgi:
            return None
        return cls(
            max_size=config.ws_max_size,
            max_queue=config.ws_max_queue,
            max_connections=config.ws_max_connections,
            send_high_water=config.ws_send_high_water,
            ping_interval=config.ws_ping_interval or 0,
            ping_timeout=config.ws_ping_timeout or 0,
            close_timeout=config.ws_close_timeout,
            per_message_deflate=config.ws_per_message_deflate,
            deflate_window_bits=config.ws_deflate_window_bits,
            deflate_takeover=config.ws_deflate_takeover,
            deflate_min_size=config.ws_deflate_min_size,
            log=log_answer,
            disconnected=ClientDisconnected,
        )


def log_answer(scope: dict[str, Any], status: int | None) -> None:
    """Write the line of a request for a WebSocket: accepted, or answered with a status."""
    client, path = client_addr(scope), path_with_query(scope)
    if status is None:
        logger.info('%s - "WebSocket %s" [accepted]', client, path)
    else:
        logger.info('%s - "WebSocket %s" %d', client, path, status)
