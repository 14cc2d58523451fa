"""How many entries there were, by category, over time: for Chart.js, which Unfold brings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import CharField, Count
from django.db.models.functions import Cast, Left

from audit.models import AuditEntry
from events.conf import settings

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# What a bar stands for, by the period that is shown.
STEPS = {"24h": HOUR, "7d": DAY, "30d": DAY}
# How much of a moment's text names its bar. As text, because SQLite would call Python for each row to truncate a moment.
LENGTHS = {HOUR: len("2026-01-31 12"), DAY: len("2026-01-31")}
COLOURS = {"audit": "primary-600", "change": "primary-300", "security": "orange-500"}
# Legible on both themes' backgrounds: a canvas does not follow the theme.
TEXT = "#767d8b"
OPTIONS = {
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "interaction": {"mode": "index", "intersect": False},
    "plugins": {"legend": {"align": "start", "labels": {"boxWidth": 8, "boxHeight": 8, "color": TEXT}}},
    "scales": {
        "x": {"stacked": True, "grid": {"display": False}, "ticks": {"maxRotation": 0, "autoSkipPadding": 16, "color": TEXT}},
        "y": {"stacked": True, "beginAtZero": True, "ticks": {"precision": 0, "color": TEXT}},
    },
}


class Volume(NamedTuple):
    """The chart's bars: their labels, and for each category the number of entries in each bar."""

    labels: list[str]
    counts: dict[str, list[int]]

    def totals(self) -> list[tuple[str, int]]:
        """Each category with its number of entries, the largest first."""
        return sorted(((name, sum(numbers)) for name, numbers in self.counts.items()), key=lambda total: -total[1])

    def chart_data(self) -> str:
        """Chart.js's `data`, as JSON."""
        datasets: list[dict[str, Any]] = [
            {"label": name.title(), "data": numbers, "backgroundColor": f"var(--color-{COLOURS.get(name, 'base-400')})"}
            for name, numbers in self.counts.items()
        ]
        return json.dumps({"labels": self.labels, "datasets": datasets})


def volume(period: str, until: datetime) -> Volume:
    """The volume of a period (a key of `STEPS`) up to a moment, in whole hours or days of UTC."""
    step = STEPS[period]
    last = until.replace(hour=until.hour if step == HOUR else 0, minute=0, second=0, microsecond=0)
    number = 24 if step == HOUR else int(period.removesuffix("d"))
    starts = [last - step * back for back in reversed(range(number))]
    names = [start.strftime("%Y-%m-%d %H")[: LENGTHS[step]] for start in starts]
    found = _counted(starts[0], LENGTHS[step])
    categories = sorted({category for _, category in found})
    labels = [start.strftime("%H:00" if step == HOUR else "%b %-d") for start in starts]
    return Volume(labels, {category: [found.get((name, category), 0) for name in names] for category in categories})


def _counted(since: datetime, length: int) -> Mapping[tuple[str, str], int]:
    bar = Left(Cast("timestamp", CharField()), length)
    # Not of the ids: all rows are counted in the index, where no id is.
    rows = (
        AuditEntry.objects.using(settings().DATABASE)
        .filter(timestamp__gte=since)
        .order_by()
        .values_list(bar, "source_category")
        .annotate(number=Count("*"))
    )
    return Counter({(name, category): number for name, category, number in rows})
