"""What uvicorn's configuration offers and this server does not do yet.

An option listed here is refused as soon as it is given a value of its own: a flag that is taken and
then ignored costs its user more than an error. The file shrinks as the server grows, and is to
vanish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROXY = "let a reverse proxy in front of the server do it"

INSTEAD = {
    "http2": _PROXY,
    "ssl_keyfile": _PROXY,
    "ssl_certfile": _PROXY,
    "ssl_keyfile_password": _PROXY,
    "ssl_version": _PROXY,
    "ssl_cert_reqs": _PROXY,
    "ssl_ca_certs": _PROXY,
    "ssl_ciphers": _PROXY,
    "ssl_context_factory": _PROXY,
    "h11_max_incomplete_event_size": "a request's head may have 64 KiB",
}
"""For each parameter of `Config`: what to do in its stead."""


def find_unsupported(
    given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Return the name of an option that cannot be served, and what to do in its stead."""
    for name, instead in INSTEAD.items():
        if given[name] != defaults[name]:
            return name, instead
    return None
