"""TLS contexts from the options of the command line.

The server itself does not speak TLS yet. This is for programs that make contexts as with uvicorn.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os


def create_ssl_context(
    certfile: str | os.PathLike[str],
    keyfile: str | os.PathLike[str] | None,
    password: str | None,
    ssl_version: int,
    cert_reqs: int,
    ca_certs: str | os.PathLike[str] | None,
    ciphers: str | None,
    alpn_protocols: list[str] | None = None,
) -> ssl.SSLContext:
    """Return a context for a server with this certificate.

    `keyfile=None` finds the key in `certfile`. Without a password, an encrypted key is refused and
    never asked for on the terminal. Raises OSError, of which `ssl.SSLError` is one.
    """
    context = ssl.SSLContext(ssl_version)
    context.load_cert_chain(certfile, keyfile, password or "")
    context.verify_mode = ssl.VerifyMode(cert_reqs)
    if ca_certs is not None:
        context.load_verify_locations(ca_certs)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if alpn_protocols is not None:
        context.set_alpn_protocols(alpn_protocols)
    return context
