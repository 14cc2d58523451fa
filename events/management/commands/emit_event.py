"""Emit an event from the command line."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from events.doorbell import shared_layer
from events.exceptions import InvalidEvent
from events.manager import unified_event_manager
from events.types import EventCategory, EventPriority, create_event


class Command(BaseCommand):
    """`emit_event document.uploaded --data '{"document_id": "1"}'`. Prints the event's id."""

    help = "Emit an event: it is stored, handled and shown in browsers like one that the site emits."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("type", help="what happened: 'document.uploaded'")
        parser.add_argument("--data", metavar="JSON", help="the event's data, a JSON object")
        parser.add_argument("--category", default=EventCategory.REALTIME, help=f"{', '.join(EventCategory)} (default: realtime)")
        parser.add_argument("--priority", help=f"{', '.join(EventPriority)} (default: normal, low for analytics)")
        parser.add_argument("--user", help="the id of the user whose event it is (default: everybody's)")
        parser.add_argument("--correlation", help="the correlation id that it shares with others")
        parser.add_argument("--metadata", metavar="JSON", help="further metadata, a JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        fields = {"priority": options["priority"], "user_id": options["user"], "correlation_id": options["correlation"]}
        given = {name: value for name, value in fields.items() if value is not None}
        try:
            data, metadata = (_json_object(name, options[name]) for name in ("data", "metadata"))
            event = create_event(options["category"], options["type"], data, metadata=metadata, **given)
            prepared = unified_event_manager.prepare(event)
        except InvalidEvent as error:
            raise CommandError(str(error).replace("event_type:", "type:", 1)) from None
        if not unified_event_manager.emit_all([prepared]):
            raise CommandError("The event is not stored: the log says why, or EVENTS['UNIFIED_EVENTS_ENABLED'] is off.")
        if event.category is EventCategory.STREAMING and shared_layer() is None:
            self.stderr.write(
                "Nobody gets it: streaming events are not kept, and no channel layer leads from here to the servers."
            )
        self.stdout.write(event.id)


def _json_object(name: str, text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(name, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidEvent(name, 'must be a JSON object like \'{"document_id": "1"}\'')
    return value
