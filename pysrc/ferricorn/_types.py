"""The scopes and events of ASGI, key by key, under the names that uvicorn's users import.

For type checkers of applications; the server itself gets along with the looser names of `typing`.
Keys come from the ASGI specification 3.0, parts HTTP and WebSocket 2.5 and lifespan 2.0. A class
with `total=False` holds the keys that may be missing; `NotRequired` came with Python 3.11.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

if TYPE_CHECKING:
    from ferricorn.drain import DrainEvent

Headers = Iterable[tuple[bytes, bytes]]

# WSGI (PEP 3333)

Environ = MutableMapping[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
StartResponse = Callable[..., Any]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

# Scopes


class ASGIVersions(TypedDict):
    """The versions of the specification, and of the part that a scope follows."""

    spec_version: str
    version: Literal["2.0", "3.0"]


class _MayHaveState(TypedDict, total=False):
    state: dict[str, Any]


class _Connection(_MayHaveState):
    asgi: ASGIVersions
    http_version: str
    scheme: str
    path: str
    raw_path: bytes
    query_string: bytes
    root_path: str
    headers: Headers
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None


class _MayHaveExtensions(TypedDict, total=False):
    extensions: dict[str, dict[object, object]]


class DrainExtension(TypedDict):
    """What `scope["extensions"]["ferricorn.drain"]` holds; not to be written into."""

    event: DrainEvent


class HTTPScope(_Connection, _MayHaveExtensions):
    """An HTTP request."""

    type: Literal["http"]
    method: str


class WebSocketScope(_Connection, _MayHaveExtensions):
    """A WebSocket connection."""

    type: Literal["websocket"]
    subprotocols: Iterable[str]


class LifespanScope(_MayHaveState):
    """The application's life."""

    type: Literal["lifespan"]
    asgi: ASGIVersions


WWWScope = HTTPScope | WebSocketScope
Scope = HTTPScope | WebSocketScope | LifespanScope

# HTTP


class HTTPRequestEvent(TypedDict):
    """A portion of a request's body."""

    type: Literal["http.request"]
    body: bytes
    more_body: bool


class HTTPDisconnectEvent(TypedDict):
    """The client is gone, or its response is complete."""

    type: Literal["http.disconnect"]


class _Status(TypedDict):
    status: int


class _MayHaveHeaders(TypedDict, total=False):
    headers: Headers


class _MayHaveTrailers(TypedDict, total=False):
    trailers: bool


class _MayGoOn(TypedDict, total=False):
    more_body: bool


class HTTPResponseStartEvent(_Status, _MayHaveHeaders, _MayHaveTrailers):
    """The head of a response."""

    type: Literal["http.response.start"]


class HTTPResponseBodyEvent(_MayGoOn):
    """A portion of a response's body."""

    type: Literal["http.response.body"]
    body: bytes


class HTTPResponseTrailersEvent(TypedDict):
    """Fields that come after the body."""

    type: Literal["http.response.trailers"]
    headers: Headers
    more_trailers: bool


class HTTPResponseEarlyHintEvent(TypedDict):
    """Links that a client may fetch before the response is made (RFC 8297)."""

    type: Literal["http.response.early_hint"]
    links: Iterable[bytes]


class HTTPResponseDebugEvent(TypedDict):
    """What a test client wants to know of a response."""

    type: Literal["http.response.debug"]
    info: dict[str, object]


class HTTPServerPushEvent(TypedDict):
    """A response that nobody has asked for yet (HTTP/2)."""

    type: Literal["http.response.push"]
    path: str
    headers: Headers


# WebSocket


class WebSocketConnectEvent(TypedDict):
    """The client has asked for the connection."""

    type: Literal["websocket.connect"]


class _MayHaveSubprotocol(TypedDict, total=False):
    subprotocol: str | None


class WebSocketAcceptEvent(_MayHaveSubprotocol, _MayHaveHeaders):
    """The application takes the connection."""

    type: Literal["websocket.accept"]


class _MayHaveBytes(TypedDict, total=False):
    bytes: bytes | None


class _MayHaveText(TypedDict, total=False):
    text: str | None


class _BinaryReceived(_MayHaveText):
    type: Literal["websocket.receive"]
    bytes: bytes


class _TextReceived(_MayHaveBytes):
    type: Literal["websocket.receive"]
    text: str


class _BinarySent(_MayHaveText):
    type: Literal["websocket.send"]
    bytes: bytes


class _TextSent(_MayHaveBytes):
    type: Literal["websocket.send"]
    text: str


WebSocketReceiveEvent = _BinaryReceived | _TextReceived
WebSocketSendEvent = _BinarySent | _TextSent


class WebSocketResponseStartEvent(_Status):
    """The head of a response that denies the connection."""

    type: Literal["websocket.http.response.start"]
    headers: Headers


class WebSocketResponseBodyEvent(_MayGoOn):
    """A portion of the body of such a response."""

    type: Literal["websocket.http.response.body"]
    body: bytes


class _MayHaveReason(TypedDict, total=False):
    reason: str | None


class WebSocketDisconnectEvent(_MayHaveReason):
    """The connection has ended."""

    type: Literal["websocket.disconnect"]
    code: int


class _MayHaveCode(TypedDict, total=False):
    code: int


class WebSocketCloseEvent(_MayHaveCode, _MayHaveReason):
    """The application ends the connection."""

    type: Literal["websocket.close"]


WebSocketEvent = WebSocketConnectEvent | WebSocketReceiveEvent | WebSocketDisconnectEvent

# Lifespan


class LifespanStartupEvent(TypedDict):
    """The application shall start."""

    type: Literal["lifespan.startup"]


class LifespanShutdownEvent(TypedDict):
    """The application shall end."""

    type: Literal["lifespan.shutdown"]


class LifespanStartupCompleteEvent(TypedDict):
    """The application has started."""

    type: Literal["lifespan.startup.complete"]


class LifespanStartupFailedEvent(TypedDict):
    """The application cannot start, and says why."""

    type: Literal["lifespan.startup.failed"]
    message: str


class LifespanShutdownCompleteEvent(TypedDict):
    """The application has ended."""

    type: Literal["lifespan.shutdown.complete"]


class LifespanShutdownFailedEvent(TypedDict):
    """The application did not end well, and says why."""

    type: Literal["lifespan.shutdown.failed"]
    message: str


# The two channels, and the applications between them

ASGIReceiveEvent = (
    HTTPRequestEvent
    | HTTPDisconnectEvent
    | WebSocketConnectEvent
    | WebSocketReceiveEvent
    | WebSocketDisconnectEvent
    | LifespanStartupEvent
    | LifespanShutdownEvent
)

ASGISendEvent = (
    HTTPResponseStartEvent
    | HTTPResponseBodyEvent
    | HTTPResponseTrailersEvent
    | HTTPResponseEarlyHintEvent
    | HTTPResponseDebugEvent
    | HTTPServerPushEvent
    | HTTPDisconnectEvent
    | WebSocketAcceptEvent
    | WebSocketSendEvent
    | WebSocketResponseStartEvent
    | WebSocketResponseBodyEvent
    | WebSocketCloseEvent
    | LifespanStartupCompleteEvent
    | LifespanStartupFailedEvent
    | LifespanShutdownCompleteEvent
    | LifespanShutdownFailedEvent
)

ASGIReceiveCallable = Callable[[], Awaitable[ASGIReceiveEvent]]
ASGISendCallable = Callable[[ASGISendEvent], Awaitable[None]]


class ASGI2Protocol(Protocol):
    """An application of ASGI 2, made with a scope and then called with the channels."""

    def __init__(self, scope: Scope) -> None: ...

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Run for the scope that this was made with."""


ASGI2Application = type[ASGI2Protocol]
ASGI3Application = Callable[[Scope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]
ASGIApplication = ASGI2Application | ASGI3Application
