"""The settings of the site with a channel layer that loses what comes while the file DROP_FILE exists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

from chatter_site import settings as site

globals().update({name: value for name, value in vars(site).items() if name.isupper()})


class LossyLayer(RedisPubSubChannelLayer):
    """Redis, but for the messages that are lost."""

    async def receive(self, channel: str) -> dict[str, Any]:
        """The next message that is not lost."""
        while True:
            message: dict[str, Any] = await super().receive(channel)
            if not Path(os.environ["DROP_FILE"]).exists():
                return message


CHANNEL_LAYERS = {"default": site.CHANNEL_LAYERS["default"] | {"BACKEND": f"{__name__}.LossyLayer"}}
