"""Django Channels for daphne: one group on the in-memory channel layer, which is large enough to drop nothing."""

import json

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 100_000}}},
)


class Consumer(AsyncWebsocketConsumer):
    groups = ["bench"]

    async def receive(self, text_data):
        message = json.loads(text_data)
        if request := message["payload"].get("broadcast"):
            for n in range(request["burst"]):
                text = json.dumps({"channel": "bench", "payload": {"n": n, "pad": "x" * request["size"]}})
                await self.channel_layer.group_send("bench", {"type": "bench.message", "text": text})
        else:
            await self.send(text_data=json.dumps(message))

    async def bench_message(self, event):
        await self.send(text_data=event["text"])


application = ProtocolTypeRouter(
    {"http": get_asgi_application(), "websocket": URLRouter([path("ws", Consumer.as_asgi())])},
)
