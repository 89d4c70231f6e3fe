"""Takes a client's address from the headers of the proxies before it, as far as they are trusted.

Each proxy appends what it saw to a list, so the list is walked from its right end: entries written
by trusted hosts are believed, and the first that names another host names the client. Further left
anybody may have written anything. An entry that names no address ends the walk too, and the
client stays the peer. `*` trusts everybody, which makes the leftmost entry the client: only for
servers that nobody can reach but through a proxy that discards what clients send.

Only the headers that are asked for are read, by default the two that most proxies set. A proxy
that does not set a header passes on what the client wrote, so whoever adds one must know its own.

Nearly all requests pass through untouched, and pay for one call and a look at the headers' names.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from ferricorn.typing import ASGI3Application, Receive, Scope, Send

FORWARDED_HEADERS = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "forwarded",
)
"""The headers that can be read; `forwarded`, of RFC 7239, comes before all others."""

DEFAULT_HEADERS = "x-forwarded-for,x-forwarded-proto"

# Peers change slowly, and a proxy's clients are looked up too. At 4096 addresses the memory of what
# is trusted stays below a mebibyte.
_REMEMBERED = 4096

# No address and no name of a host is longer (RFC 1035 section 2.3.4).
_LONGEST_HOST = 253

_NODE = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")
_HOST = re.compile(r"((?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\]))(:[0-9]{1,5})?")
_PORT = re.compile(r"[0-9]{1,5}")
# Segments of RFC 3986, none of them empty: to a browser, two slashes begin the name of a host.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
# RFC 7239 section 4: name=value pairs, in elements. Unquoted values are taken more freely than
# there, because many proxies leave the quotes out that a colon needs.
_PAIR = re.compile(
    r'[ \t]*(?:([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:([^\s",;]+)|"((?:[^"\\]|\\.)*)"))?[ \t]*([;,]|\Z)'
)


class TrustedHosts:
    """The hosts whose word counts: addresses, networks, names to compare as they are, `unix`, `*`.

    `unix` is a peer without an address: one that connected to a Unix socket.
    """

    def __init__(self, hosts: Iterable[str] | str) -> None:
        entries = hosts.split(",") if isinstance(hosts, str) else hosts
        self._names = {entry.strip() for entry in entries} - {""}
        self._networks = [net for name in self._names if (net := _network(name)) is not None]
        self.everyone = "*" in self._names
        self.trusts = functools.lru_cache(_REMEMBERED)(self._trusts)

    def __contains__(self, host: str | None) -> bool:
        return self.trusts(host)

    def peers(self) -> list[str]:
        """Return the list as the native floor compares addresses with it.

        Raises ValueError for an entry that no peer's address is compared with: a mere name, or an
        address of one interface.
        """
        others = sorted(name for name in self._names if _network(name) is None or "%" in name)
        for name in others:
            if name not in ("unix", "*"):
                raise ValueError(f"{name!r} is no address, no network, not 'unix' and not '*'.")
        return [str(network) for network in self._networks] + others

    def _trusts(self, host: str | None) -> bool:
        if self.everyone:
            return True
        if host is None:
            return "unix" in self._names
        address = _address(host)
        if address is None:
            return host in self._names
        return any(address in network for network in self._networks)


class ProxyHeadersMiddleware:
    """Puts client, scheme and so on into the scope as trusted proxies report them."""

    def __init__(
        self,
        app: ASGI3Application,
        trusted_hosts: Iterable[str] | str = "127.0.0.1",
        headers: Iterable[str] | str = DEFAULT_HEADERS,
    ) -> None:
        self.app = app
        self.trusted_hosts = TrustedHosts(trusted_hosts)
        self._application = BehindProxies(app, self.trusted_hosts, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one scope."""
        await self._application(scope, receive, send)


class ProxyReports:
    """What proxies report of requests, as far as they are trusted."""

    def __init__(self, trusted: TrustedHosts, headers: Iterable[str] | str) -> None:
        self._trusted = trusted
        self._read = frozenset(name.encode() for name in header_names(headers))

    def report(self, scope: Scope) -> None:
        """Have the scope say it."""
        client = scope.get("client")
        if self._trusted.trusts(client[0] if client else None):
            for name, _ in scope.get("headers", ()):
                if name in self._read:
                    _rewrite(scope, self._trusted, self._read)
                    break


class BehindProxies(ProxyReports):
    """The application as trusted proxies call it.

    It hands out the application's own coroutine: another one around it would cost each request more
    than the look at its headers. A server that sees no forwarding header may call `app` itself.
    """

    def __init__(
        self, app: ASGI3Application, trusted: TrustedHosts, headers: Iterable[str] | str
    ) -> None:
        super().__init__(trusted, headers)
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Call the application."""
        self.report(scope)
        return self.app(scope, receive, send)


def header_names(headers: Iterable[str] | str) -> list[str]:
    """Return the names of headers in lower case. Raises ValueError for one that cannot be read."""
    names = headers.split(",") if isinstance(headers, str) else headers
    known = [name.strip().lower() for name in names]
    for name in known:
        if name not in FORWARDED_HEADERS:
            raise ValueError(f"{name!r} is none of {', '.join(FORWARDED_HEADERS)}.")
    return known


class _Hop(NamedTuple):
    """What one proxy reports of the request that it received."""

    node: str | None = None
    proto: str | None = None
    host: str | None = None
    port: str | None = None
    prefix: str | None = None


def _rewrite(scope: Scope, trusted: TrustedHosts, read: frozenset[bytes]) -> None:
    lists: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in read:
            text = value.decode("latin-1")
            lists[name] = f"{lists[name]},{text}" if name in lists else text
    columns = _standard_lists(lists.get(b"forwarded", "")) or _customary_lists(lists)
    if not any(columns):
        return

    nodes = columns[0] or [None]
    place = _place(nodes, trusted)
    # Lists of the same length were appended to by the same proxies. Of another one the last value
    # counts, which the nearest proxy wrote.
    hop = _Hop(
        *(each[place if len(each) == len(nodes) else -1] if each else None for each in columns)
    )
    node = _node(hop.node)
    address = node and _address(node[0])
    if node and address:
        scope["client"] = (str(address), node[1])
    proto = (hop.proto or "").lower()
    if proto in ("http", "https", "ws", "wss"):
        plain = "ws" if scope["type"] == "websocket" else "http"
        scope["scheme"] = f"{plain}s" if proto in ("https", "wss") else plain
    _set_host(scope, hop)
    _set_prefix(scope, hop.prefix)


def _place(nodes: list[str | None], trusted: TrustedHosts) -> int:
    """Return where in the list the client stands. Looks at no more of it than it must."""
    if not trusted.everyone:
        for place in reversed(range(len(nodes))):
            node = _node(nodes[place])
            if node is None or node[0] not in trusted:
                return place
    # Where all are trusted, the client is one of the proxies: the first of them.
    return 0


def _customary_lists(lists: dict[bytes, str]) -> list[list[str | None]]:
    """Return the entries of each `X-Forwarded-` header, in the order of a hop's fields."""
    return [
        [value for entry in lists.get(name.encode(), "").split(",") if (value := entry.strip())]
        for name in FORWARDED_HEADERS[:5]
    ]


def _standard_lists(text: str) -> list[list[str | None]]:
    """Return what the elements of `Forwarded` say, nothing if it is malformed anywhere."""
    elements: list[dict[str, str]] = []
    pairs: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None:
            return []
        at = found.end()
        name, token, quoted, end = found.groups()
        if name is not None:
            if name.lower() in pairs:  # RFC 7239 section 4: once in an element.
                return []
            pairs[name.lower()] = token or re.sub(r"\\(.)", r"\1", quoted)
        if pairs and (end == "," or at == len(text)):
            elements.append(pairs)
            pairs = {}
    names = ("for", "proto", "host") if elements else ()
    return [[each.get(name) for each in elements] for name in names]


def _node(text: str | None) -> tuple[str, int] | None:
    """Split an address and its port, 0 where there is none; brackets are for IPv6."""
    if not text or len(text) > _LONGEST_HOST:
        return None
    found = _NODE.fullmatch(text)
    if found is None:
        return text, 0  # IPv6 without brackets, or the name of a Unix socket.
    port = int(found[3] or 0)
    return (found[1] or found[2], port) if port <= 65535 else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address, one of IPv4 that is mapped into IPv6 as what it is."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped and network.prefixlen >= 96:
        return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


def _set_host(scope: Scope, hop: _Hop) -> None:
    """Replace the `host` header: frameworks make their links with it."""
    current = next((v.decode("latin-1") for name, v in scope["headers"] if name == b"host"), "")
    given = _HOST.fullmatch(hop.host or "")
    host = given or _HOST.fullmatch(current)
    if host is None or not (hop.host or hop.port):
        return
    value = host[0]
    own_port = given is not None and given[2] is not None
    if hop.port and _PORT.fullmatch(hop.port) and int(hop.port) <= 65535 and not own_port:
        usual = {"http": 80, "ws": 80}.get(scope["scheme"], 443)
        value = host[1] if int(hop.port) == usual else f"{host[1]}:{int(hop.port)}"
    others = [line for line in scope["headers"] if line[0] != b"host"]
    scope["headers"] = [(b"host", value.encode("latin-1")), *others]


def _set_prefix(scope: Scope, prefix: str | None) -> None:
    """Mount the application where the proxy has it: ASGI's `path` includes the `root_path`."""
    prefix = (prefix or "").rstrip("/")
    if not _PREFIX.fullmatch(prefix) or "/../" in f"{prefix}/":
        return
    scope["root_path"] = prefix + scope.get("root_path", "")
    scope["path"] = prefix + scope["path"]
    scope["raw_path"] = prefix.encode() + (scope.get("raw_path") or b"")
