"""What the console shows when it opens: the last events that its user may see, and where the stream takes over."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from events import journal
from events.access import audiences_of
from events.conf import settings
from events.cursor import Cursor
from events.models import JournalEntry

SHOWN = 50
# How far back to look: a user who may see little must not make the page read the whole journal.
WINDOW = 5_000


def current_cursor() -> Cursor:
    """Where the journal is now. A page that reads this first and then its data misses nothing on a stream from here."""
    head = journal.read_head()
    return Cursor(head.epoch, head.position)


def recent_events(user: AbstractBaseUser | AnonymousUser, until: Cursor) -> list[dict[str, Any]]:
    """The last events up to the cursor that the user may see, oldest first, as `docs/wire.md` has them."""
    visible = JournalEntry.objects.using(settings().DATABASE).filter(
        position__lte=until.position, position__gt=until.position - WINDOW, audience__in=audiences_of(user)
    )
    bodies = visible.order_by("-position").values_list("body", flat=True)[:SHOWN]
    return [json.loads(body) for body in reversed(bodies)]
