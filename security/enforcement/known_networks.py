"""From where an account signed in lately: there, an attack from elsewhere does not keep its owner out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import QuerySet

from events.conf import settings as events_settings
from security.conf import settings
from security.models import KnownNetwork

# Of one account, the latest. Of all, this process remembers some that it need not write again today.
MAX_NETWORKS: Final = 20
MAX_WRITTEN: Final = 10_000
WRITTEN_AGAIN_AFTER: Final = timedelta(days=1)

_written: dict[tuple[str, str], datetime] = {}


def is_known(account: str, network: str, now: datetime) -> bool:
    """Whether the account (the hash of its username) signed in from the network within `SECURITY["REMEMBER_SIGN_INS"]` days."""
    return _rows().filter(account=account, network=network, last_at__gt=now - _kept()).exists()


def remember(account: str, network: str, now: datetime) -> None:
    """It did so now. Written once a day for each process."""
    last = _written.get((account, network))
    if last is not None and now - last < WRITTEN_AGAIN_AFTER:
        return
    _rows().bulk_create(
        [KnownNetwork(account=account, network=network, last_at=now)],
        update_conflicts=True,
        unique_fields=["account", "network"],
        update_fields=["last_at"],
    )
    _clean(account, now)
    if len(_written) >= MAX_WRITTEN:
        _written.clear()
    _written[account, network] = now


def forget_written() -> None:
    """This process writes all of them again: the rows may be gone."""
    _written.clear()


def _clean(account: str, now: datetime) -> None:
    """Delete what is no longer counted, some at a time, and of one account the oldest."""
    stale = _rows().filter(last_at__lt=now - _kept()).values_list("pk", flat=True)[:100]
    surplus = _rows().filter(account=account).order_by("-last_at").values_list("pk", flat=True)[MAX_NETWORKS : MAX_NETWORKS + 100]
    if gone := [*stale, *surplus]:
        _rows().filter(pk__in=gone).delete()


def _kept() -> timedelta:
    return timedelta(days=settings().REMEMBER_SIGN_INS)


def _rows() -> QuerySet[KnownNetwork]:
    return KnownNetwork.objects.using(events_settings().DATABASE)
