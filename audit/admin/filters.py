"""The filters of the list. Each is served by an index (`AuditEntry.Meta.indexes`)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from audit.models import AuditEntry
from audit.reading.paging import ORDER
from events.client_ip import client_ip
from events.conf import settings
from events.types import utcnow

CATEGORIES = [("audit", "Audit"), ("security", "Security"), ("change", "Change")]
PERIODS = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
# How many of the latest entries are looked at for the words that a filter offers: a DISTINCT over the log would read all of it.
RECENT = 2_000


class CategoryFilter(DropdownFilter):
    """Where the entry comes from: an audit event, a security event, or a change of a model."""

    title = "category"
    parameter_name = "category"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return CATEGORIES

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(source_category=self.value()) if self.value() else queryset


class PeriodFilter(DropdownFilter):
    """The presets for time. A word that names none matches nothing."""

    title = "period"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, title) for name, (title, _) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        name = self.value()
        if not name:
            return queryset
        return queryset.filter(timestamp__gte=utcnow() - PERIODS[name][1]) if name in PERIODS else queryset.none()


class RecentWordsFilter(DropdownFilter):
    """Offers what the column of that name (`parameter_name`) holds in the latest entries, and what is chosen."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        words = {*recent_words(request)[self.parameter_name], self.value() or ""}
        return [(word, word) for word in sorted(words - {""})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


def recent_words(request: HttpRequest) -> dict[str, set[str]]:
    """The words of the latest entries by column, read once for a request."""
    found: dict[str, set[str]] | None = getattr(request, "_audit_recent_words", None)
    if found is None:
        columns = ("action", "resource_type")
        latest = AuditEntry.objects.using(settings().DATABASE).order_by(ORDER[0]).values_list(*columns)[:RECENT]
        found = dict(zip(columns, map(set, zip(*latest, strict=True)), strict=True)) if latest else {c: set() for c in columns}
        request._audit_recent_words = found  # type: ignore[attr-defined]
    return found


class ActionFilter(RecentWordsFilter):
    title = parameter_name = "action"


class ResourceTypeFilter(RecentWordsFilter):
    title = "resource type"
    parameter_name = "resource_type"


class ExactFilter(TextFilter):
    """Entries where `column` is exactly what was typed."""

    column: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        value = (self.value() or "").strip()
        return queryset.filter(**{self.column: value}) if value else queryset


class ActorFilter(ExactFilter):
    title = "actor"
    parameter_name = "actor"
    column = "actor_label"


class UserFilter(ExactFilter):
    title = "user id"
    parameter_name = "user"
    column = "user_id"


class ResourceFilter(ExactFilter):
    title = "resource id"
    parameter_name = column = "resource_id"


class CorrelationFilter(ExactFilter):
    title = "correlation"
    parameter_name = "correlation"
    column = "correlation_id"


class AddressFilter(ExactFilter):
    title = "IP address"
    parameter_name = "address"

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        value = (self.value() or "").strip()
        if not value:
            return queryset
        address = client_ip(value)
        return queryset.filter(ip_address=address) if address else queryset.none()
