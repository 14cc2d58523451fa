"""The demo's events, by the specialised API for known types."""

from __future__ import annotations

from typing import Any

import events
from chatter_site.demo.models import Document
from events.sse.catalogue import EventType, priority_of, validate_event_data


def announce(event_type: EventType, document: Document, **data: Any) -> None:
    """Emit a document's event to its owner. In a transaction it commits or vanishes with the change that it tells of."""
    payload = validate_event_data(event_type, {"document_id": document.pk, "filename": document.name, **data})
    events.emit(event_type, payload, user_id=str(document.owner_id), priority=priority_of(event_type))
