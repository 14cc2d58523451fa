"""Brings alerts to mailboxes and webhooks: any process may, each attempt is one's. At least once, and seldom more."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db import Error, connections
from django.db.models import F, QuerySet

from events.background import ThreadService
from events.conf import settings as events_settings
from events.stats import stats
from events.types import utcnow
from security.alerts import messages, webhooks
from security.alerts.digests import close_due, deliveries
from security.conf import settings
from security.models import Delivery

logger = logging.getLogger("security.alerts")

SENDERS: Final[dict[str, Callable[[Delivery], None]]] = {"mail": messages.send, "webhook": webhooks.post}
# Beyond the time that an attempt may take: then its process is taken for dead, and another one tries.
GRACE: Final = timedelta(seconds=30)
PAUSE_FACTOR: Final = 3
MAX_PAUSE: Final = 3600.0
BATCH: Final = 20


class Courier(ThreadService):
    """Delivers what is due, whenever it is asked to (`deliver`), or in a thread of its own (`start`)."""

    name = "security-courier"

    def deliver(self) -> Iterator[Delivery]:
        """Try each delivery that is due once; yields each as it is then. Raises DatabaseError."""
        for delivery in _claimed():
            error = _attempt(delivery)
            _note(delivery, error)
            yield delivery

    def is_wanted(self) -> bool:
        """See `ThreadService`."""
        return settings().DELIVER_IN_BACKGROUND

    def run(self, stopping: threading.Event) -> None:
        """Deliver until `stopping` is set; while the database is away, go on trying."""
        while not stopping.is_set():
            try:
                for _ in self.deliver():
                    if stopping.is_set():
                        break
            except Error:
                logger.exception("Alerts can't be delivered now; the next look tries again")
                connections[events_settings().DATABASE].close()
            stopping.wait(settings().DELIVERY_INTERVAL)


courier = Courier()


def _claimed() -> Iterator[Delivery]:
    """Those that are due, each claimed for one attempt when its turn comes: until its `next_attempt_at`, which is what only
    who claimed it knows, no other process tries."""
    begun = utcnow()
    close_due(begun)
    while True:
        due = deliveries().filter(state=Delivery.State.PENDING, next_attempt_at__lte=begun).order_by("next_attempt_at", "id")
        batch = list(due.select_related("incident")[:BATCH])
        for delivery in batch:
            until = utcnow() + timedelta(seconds=settings().DELIVERY_TIMEOUT) + GRACE
            if _mine(delivery).update(attempts=F("attempts") + 1, next_attempt_at=until):
                delivery.attempts += 1
                delivery.next_attempt_at = until
                yield delivery
        if len(batch) < BATCH:
            return


def _mine(delivery: Delivery) -> QuerySet[Delivery]:
    """The row, unless another process has changed it."""
    return deliveries().filter(pk=delivery.pk, state=Delivery.State.PENDING, next_attempt_at=delivery.next_attempt_at)


def _attempt(delivery: Delivery) -> str:
    """Send it. What went wrong, in words; nothing if it is there."""
    if delivery.attempts > settings().DELIVERY_ATTEMPTS:  # who tried last ended before it could tell how that ended
        return delivery.last_error or "the last attempt was not finished"
    targets = {"mail": settings().ALERT_MAIL, "webhook": settings().ALERT_WEBHOOKS}
    if delivery.target not in targets[delivery.channel]:  # tried again: another process may have newer settings
        return "is not in the settings any more"
    try:
        SENDERS[delivery.channel](delivery)
    except Exception as error:
        logger.info("%s of %s: attempt %d failed", delivery.channel, _what(delivery), delivery.attempts, exc_info=True)
        return f"{type(error).__name__}: {error}".replace("\0", "")[:255]
    return ""


def _note(delivery: Delivery, error: str) -> None:
    """Write down how an attempt ended, unless the incident got worse meanwhile and all is to be sent anew."""
    mine, given_up = _mine(delivery), bool(error) and delivery.attempts >= settings().DELIVERY_ATTEMPTS
    delivery.last_error = error
    if error and not given_up:
        delivery.next_attempt_at = _next_attempt(delivery.attempts)
    else:
        delivery.state = Delivery.State.FAILED if error else Delivery.State.SENT
    noted = mine.update(state=delivery.state, last_error=error, next_attempt_at=delivery.next_attempt_at)
    if noted and given_up:
        stats.count("delivery_errors")
        logger.error("The alert of %s by %s was given up: %s", _what(delivery), delivery.channel, error)


def _what(delivery: Delivery) -> str:
    return f"incident {delivery.incident_id}" if delivery.incident_id else f"digest {delivery.pk}"


def _next_attempt(attempts: int) -> datetime:
    """When to try again. A receiver that was away is not asked by everybody at once when it is back."""
    pause = min(settings().DELIVERY_PAUSE * PAUSE_FACTOR ** (attempts - 1), MAX_PAUSE)
    return utcnow() + timedelta(seconds=pause * random.uniform(2 / 3, 4 / 3))  # noqa: S311 - not for secrets
