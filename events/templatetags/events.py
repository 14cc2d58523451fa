"""`{% event_stream %}`: the live events in any template."""

from __future__ import annotations

import re
from typing import Any

from django import template
from django.template.context import Context
from django.templatetags.static import static
from django.urls import get_script_prefix
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString

from events.delivery.routing import STREAM_PATH, WEBSOCKET_PATH
from events.filters import EventFilter

register = template.Library()

PATHS = {"sse": STREAM_PATH, "websocket": WEBSOCKET_PATH}
IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


@register.simple_tag(takes_context=True)
def event_stream(
    context: Context,
    *,
    types: str = "",
    categories: str = "",
    min_priority: str = "",
    cursor: object = "",
    transport: str = "sse",
    notify: bool = True,
    name: str = "chatterEvents",
    target: str = "",
    nonce: object = "",
) -> SafeString:
    """Opens the event stream of the signed-in user and gives it to the page's JavaScript. Nothing for an anonymous user.

        {% load events %}
        {% event_stream types="document.*" %}
        <script>chatterEvents.on("document.*", (event) => console.log(event.type, event.data));</script>

    `types`, `categories`, `min_priority`: the filter, comma-separated as in `docs/wire.md`; all where left out.
    `cursor`: where the stream begins, `epoch:position`, for a page that shows what was before; now where left out.
    `transport`: `sse` or `websocket`. `notify`: whether to show browser notifications for critical events.
    `name`: the global variable, so that a page can have several streams. Its methods are those of `EventStream`
    (`static/events/client.d.ts`) and may be called at once: subscriptions are kept until the stream's module is loaded.
    `target`: id of the element that gets the DOM events `chatter:event`, `chatter:state` and `chatter:gap` (their `detail` is
    what the callbacks get); the document where left out. A script above the tag can listen to them.
    `nonce`: for a Content-Security-Policy; the request's `csp_nonce` where left out.

    The user and the nonce come from `request`, so the context processor of that name must be on. Raises InvalidFilter for
    a filter that the server would refuse, ValueError for another argument that can't be.
    """
    request = context.get("request")
    if not getattr(getattr(request, "user", None), "is_authenticated", False):
        return SafeString("")
    EventFilter.from_query(types or None, categories or None, min_priority or None)
    if transport not in PATHS:
        raise ValueError(f"event_stream: transport must be one of {', '.join(PATHS)}, not {transport!r}")
    if not IDENTIFIER.match(name):
        raise ValueError(f"event_stream: name must be a JavaScript identifier, not {name!r}")
    options = {
        "url": get_script_prefix() + PATHS[transport],
        "transport": transport,
        "types": _items(types),
        "categories": _items(categories),
        "minPriority": min_priority or None,
        "cursor": str(cursor) or None,
        "notify": bool(notify),
    }
    settings = {"name": name, "target": target, "client": static("events/client.js"), "options": options}
    return _markup(f"{name}-settings", settings, str(nonce or _nonce(context, request)))


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text else []


def _nonce(context: Context, request: Any) -> object:
    """What a CSP middleware gave the request. Its value is lazy, and some say that they are false until they are read."""
    found = context.get("csp_nonce", getattr(request, "csp_nonce", None))
    return "" if found is None else str(found)


def _markup(settings_id: str, settings: dict[str, Any], nonce: str) -> SafeString:
    attribute = format_html(' nonce="{}"', nonce) if nonce else ""
    return format_html(
        '{}<script src="{}" data-settings="{}"{}></script>',
        json_script(settings, settings_id),
        static("events/embed.js"),
        settings_id,
        attribute,
    )
