"""Failed logins of the last day, from the audit log: over time, and who and where from. Bounded, however long the log is."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import CharField, Count, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Left

from events.conf import settings

HOUR: Final = timedelta(hours=1)
HOURS: Final = 24
# What is read at most: of the log for the chart and of summaries their numbers; of failed logins, and of summaries the names, for the most frequent.
MAX_ENTRIES: Final = 50_000
MAX_SUMMARIES: Final = 1_000
MAX_FAILURES: Final = 2_000
MAX_NAMING: Final = 300
TOP: Final = 8
SINGLE, SUMMARY = "login_failure", "login_failures"
BAR: Final = "%Y-%m-%d %H"
BAR_LENGTH: Final = len("2026-01-31 12")
UNKNOWN: Final = "?"
OPTIONS: Final[dict[str, Any]] = {
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "interaction": {"mode": "index", "intersect": False},
    "plugins": {"legend": {"display": False}},
    "scales": {
        "x": {"grid": {"display": False}, "ticks": {"maxRotation": 0, "autoSkipPadding": 16}},
        "y": {"beginAtZero": True, "ticks": {"precision": 0}},
    },
}


class Frequent(NamedTuple):
    """Who failed how often. `share` is a percentage of the most frequent's number."""

    key: str
    label: str
    number: int
    share: int


class Figures(NamedTuple):
    """Failed logins by the hour, and the most frequent addresses and accounts among the latest of them.

    `since` is set where not all of the day was read: before it the chart does not count all. `is_part`: the most frequent are of the latest failures only.
    """

    labels: list[str]
    numbers: list[int]
    addresses: list[Frequent]
    accounts: list[Frequent]
    since: datetime | None
    is_part: bool

    @property
    def total(self) -> int:
        """All that the chart shows."""
        return sum(self.numbers)

    def chart_data(self) -> str:
        """Chart.js's `data`, as JSON."""
        bars = {"label": "Failed logins", "data": self.numbers, "backgroundColor": "var(--color-primary-600)"}
        return json.dumps({"labels": self.labels, "datasets": [bars]})


def figures(until: datetime) -> Figures | None:
    """The figures of the day before a moment, in whole hours of UTC; None where there is no audit log."""
    if not apps.is_installed("audit"):
        return None
    last = until.replace(minute=0, second=0, microsecond=0)
    starts = [last - HOUR * back for back in reversed(range(HOURS))]
    log = apps.get_model("audit", "AuditEntry")._default_manager.using(settings().DATABASE)
    entries = log.filter(timestamp__gte=starts[0])
    # Where the entries that may be read begin.
    since = entries.order_by("-timestamp").values_list("timestamp", flat=True)[MAX_ENTRIES : MAX_ENTRIES + 1].first()
    read = entries.filter(timestamp__gt=since) if since else entries
    read = read.filter(source_category="security").order_by()
    hours, folds = _by_hour(read)
    folded = read.filter(action=SUMMARY).order_by("-timestamp")
    summaries = list(folded.values_list("timestamp", KT("data__count"))[:MAX_SUMMARIES]) if folds else []
    for moment, number in summaries:
        hours[moment.strftime(BAR)] += int(number) if str(number).isdecimal() else 0
    latest = read.filter(action=SINGLE).order_by("-timestamp").values_list("ip_address", "user_id", KT("data__username_hash"))
    failures = list(latest[:MAX_FAILURES])
    naming = list(folded.values_list("data", flat=True)[:MAX_NAMING]) if folds else []
    addresses, accounts = map(_top, _most_frequent(failures, naming))
    return Figures(
        labels=[start.strftime("%H:00") for start in starts],
        numbers=[hours[start.strftime(BAR)] for start in starts],
        addresses=[_frequent(address, address, number, addresses) for address, number in addresses],
        accounts=_named(accounts),
        since=summaries[-1][0] if len(summaries) == MAX_SUMMARIES else since,
        is_part=len(failures) == MAX_FAILURES or len(naming) == MAX_NAMING,
    )


def _by_hour(read: QuerySet[Any]) -> tuple[Counter[str], bool]:
    """Those that were told one by one, and whether there are summaries beside them."""
    # As text, because SQLite would call Python for each row to truncate a moment.
    bar = Left(Cast("timestamp", CharField()), BAR_LENGTH)
    rows = list(read.filter(action__in=[SINGLE, SUMMARY]).values_list(bar, "action").annotate(Count("pk")))
    hours = Counter({name: number for name, action, number in rows if action == SINGLE})
    return hours, any(action == SUMMARY for _, action, _ in rows)


def _most_frequent(failures: list[Any], summaries: list[Any]) -> tuple[Counter[str], Counter[str]]:
    """How often each address and each account failed. A username that is no account's is known by its hash."""
    addresses = Counter(address for address, _, _ in failures if address)
    accounts = Counter(user or f"{UNKNOWN}{username}" for _, user, username in failures if user or username)
    for data in summaries:
        if not isinstance(data, dict):
            continue
        addresses.update(_tops(data.get("addresses")))
        accounts.update(_tops(data.get("accounts")))
        accounts.update({f"{UNKNOWN}{name}": number for name, number in _tops(data.get("username_hashes")).items()})
    return addresses, accounts


def _tops(found: Any) -> dict[str, int]:
    """What a summary says: pairs of who and how often."""
    pairs = found if isinstance(found, list) else []
    return {pair[0]: _number(pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)}


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _top(counted: Counter[str]) -> list[tuple[str, int]]:
    return [(key, number) for key, number in counted.most_common(TOP) if number]


def _named(accounts: list[tuple[str, int]]) -> list[Frequent]:
    users = get_user_model()
    keys = []
    for key, _ in accounts:
        try:
            keys.append(users._meta.pk.to_python(key))
        except ValidationError:
            continue
    names = {str(user.pk): user.get_username() for user in users._default_manager.filter(pk__in=keys)} if keys else {}
    return [
        _frequent(
            key,
            names.get(key) or (f"unknown name {key.removeprefix(UNKNOWN)[:8]}" if key.startswith(UNKNOWN) else f"user {key}"),
            number,
            accounts,
        )
        for key, number in accounts
    ]


def _frequent(key: str, label: str, number: int, top: list[tuple[str, int]]) -> Frequent:
    return Frequent("" if key.startswith(UNKNOWN) else key, label, number, max(1, number * 100 // top[0][1]))
