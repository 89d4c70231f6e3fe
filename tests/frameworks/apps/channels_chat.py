"""Django with Channels: consumers of both kinds, a group in a layer in memory, and a view."""

from __future__ import annotations

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from channels.exceptions import DenyConnection  # noqa: E402 - reads the settings
from channels.generic.websocket import (  # noqa: E402
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402


class Chat(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A room whose members hear each other."""

    async def connect(self) -> None:
        self.room = f"chat_{self.scope['url_route']['kwargs']['room']}"
        if self.room == "chat_closed":
            raise DenyConnection
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept(self.scope["subprotocols"][0] if self.scope["subprotocols"] else None)
        await self.channel_layer.group_send(self.room, {"type": "chat.message", "text": "joined"})

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)
        message = {"type": "chat.message", "text": f"left {code}"}
        await self.channel_layer.group_send(self.room, message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        message = {"type": "chat.message", "text": text_data or f"{len(bytes_data or b'')} bytes"}
        await self.channel_layer.group_send(self.room, message)

    async def chat_message(self, event: dict[str, str]) -> None:
        await self.send(text_data=event["text"])


class Sums(JsonWebsocketConsumer):  # type: ignore[misc]
    """Adds in a thread, as synchronous consumers run."""

    def receive_json(self, content: list[int], **kwargs: object) -> None:
        if not content:
            self.close(4001)
        else:
            self.send_json({"sum": sum(content)})


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


urlpatterns = [path("", index)]

app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AllowedHostsOriginValidator(
            URLRouter(
                [
                    path("chat/<room>/", Chat.as_asgi()),
                    path("sums/", Sums.as_asgi()),
                ]
            )
        ),
    }
)
