"""The audit log in Django's admin: to browse, filter and follow, never to change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, TextFilter
from unfold.decorators import display
from unfold.utils import display_for_label

from audit.models import CHANGE, AuditEntry, Outcome
from events.client_ip import client_ip
from events.readonly import ReadOnlyAdmin, TimeRangeFilter, one_line_time, readable_json
from events.types import EventPriority

OUTCOME_COLOURS = {Outcome.SUCCESS: "success", Outcome.FAILURE: "danger", Outcome.DENIED: "warning", Outcome.UNKNOWN: "default"}
PRIORITY_COLOURS = {
    EventPriority.LOW: "default",
    EventPriority.NORMAL: "info",
    EventPriority.HIGH: "warning",
    EventPriority.CRITICAL: "danger",
}
CATEGORIES = [("audit", "Audit"), ("security", "Security"), (CHANGE, "Change")]
# How many of the latest entries are looked at for the words that a filter offers: a DISTINCT over the log would read all of it.
RECENT = 2_000


class CategoryFilter(DropdownFilter):
    """Where the entry comes from: an audit event, a security event, or the change of an object."""

    title = "category"
    parameter_name = "category"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return CATEGORIES

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(source_category=self.value()) if self.value() else queryset


class RecentWordsFilter(DropdownFilter):
    """Offers what the column of that name (`parameter_name`) holds in the latest entries, and what is chosen."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        latest = AuditEntry.objects.order_by("-id").values_list(self.parameter_name, flat=True)[:RECENT]
        words = {*latest, self.value() or ""}
        return [(word, word) for word in sorted(words - {""})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class ActionFilter(RecentWordsFilter):
    title = parameter_name = "action"


class ResourceTypeFilter(RecentWordsFilter):
    title = "resource type"
    parameter_name = "resource_type"


class ExactFilter(TextFilter):
    """Entries where one of `columns` is exactly what was typed."""

    columns: tuple[str, ...]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        value = (self.value() or "").strip()
        if not value:
            return queryset
        return queryset.filter(Q.create([(column, value) for column in self.columns], connector=Q.OR))


class ActorFilter(ExactFilter):
    title = "actor (name or user id)"
    parameter_name = "actor"
    columns = ("actor_label", "user_id")


class ResourceFilter(ExactFilter):
    title = "resource id"
    parameter_name = "resource_id"
    columns = ("resource_id",)


class CorrelationFilter(ExactFilter):
    title = "correlation"
    parameter_name = "correlation"
    columns = ("correlation_id",)


class AddressFilter(ExactFilter):
    title = "IP address"
    parameter_name = "address"

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        value = (self.value() or "").strip()
        if not value:
            return queryset
        address = client_ip(value)
        return queryset.filter(ip_address=address) if address else queryset.none()


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """The list, with filters and search over indexed columns, and the page of one entry."""

    list_display = ("time", "what", "outcome_badge", "priority_badge", "who", "resource", "ip_address")
    list_display_links = ("time", "what")
    list_filter = (
        CategoryFilter,
        ActionFilter,
        ("outcome", ChoicesDropdownFilter),
        ("priority", ChoicesDropdownFilter),
        ActorFilter,
        ResourceTypeFilter,
        ResourceFilter,
        CorrelationFilter,
        AddressFilter,
        ("timestamp", TimeRangeFilter),
    )
    search_fields = (
        "event_id__exact",
        "correlation_id__exact",
        "user_id__exact",
        "actor_label__exact",
        "resource_id__exact",
    )
    search_help_text = "The whole of an event id, correlation, user id, actor or resource id"
    sortable_by = ("time",)
    fieldsets = (
        ("What", {"fields": ("event_type", "action", "outcome_label", "priority_label", "source_category", "exact_time")}),
        (
            "Who and where from",
            {
                "fields": (
                    "actor_label",
                    "actor_type",
                    "impersonator",
                    "user_id",
                    "ip_address",
                    "user_agent",
                    "session_id",
                )
            },
        ),
        ("To what", {"fields": ("resource", "resource_label", "same_resource", "readable_changes")}),
        ("Where it belongs", {"fields": ("event_id", "correlation_id", "same_correlation")}),
        ("Details", {"fields": ("readable_data", "readable_metadata")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        queryset = super().get_queryset(request)
        is_list = getattr(request.resolver_match, "url_name", "").endswith("_changelist")
        return queryset.defer("data", "metadata", "changes") if is_list else queryset

    @display(description="Time", ordering="timestamp")
    def time(self, entry: AuditEntry) -> SafeString:
        return one_line_time(entry.timestamp)

    @display(description="Time")
    def exact_time(self, entry: AuditEntry) -> str:
        return localtime(entry.timestamp).isoformat(" ")

    @display(description="Type")
    def what(self, entry: AuditEntry) -> str:
        return entry.event_type

    @display(description="Outcome", label=OUTCOME_COLOURS)
    def outcome_badge(self, entry: AuditEntry) -> str:
        return entry.outcome

    @display(description="Priority", label=PRIORITY_COLOURS)
    def priority_badge(self, entry: AuditEntry) -> str:
        return entry.priority

    @display(description="Outcome")
    def outcome_label(self, entry: AuditEntry) -> SafeString:
        return display_for_label(entry.outcome, "–", OUTCOME_COLOURS)

    @display(description="Priority")
    def priority_label(self, entry: AuditEntry) -> SafeString:
        return display_for_label(entry.priority, "–", PRIORITY_COLOURS)

    @display(description="Actor")
    def who(self, entry: AuditEntry) -> str:
        return entry.actor_label or (f"user {entry.user_id}" if entry.user_id else "–")

    @display(description="Resource")
    def resource(self, entry: AuditEntry) -> str:
        return " ".join(filter(None, (entry.resource_type, entry.resource_id))) or "–"

    @display(description="Same resource")
    def same_resource(self, entry: AuditEntry) -> SafeString | str:
        if not entry.resource_id:
            return "–"
        return _link("All entries of this resource", resource_type=entry.resource_type, resource_id=entry.resource_id)

    @display(description="Same correlation")
    def same_correlation(self, entry: AuditEntry) -> SafeString | str:
        if not entry.correlation_id:
            return "–"
        return _link("All entries of this correlation", correlation=entry.correlation_id)

    @display(description="Changes")
    def readable_changes(self, entry: AuditEntry) -> SafeString | str:
        return "–" if entry.changes is None else readable_json(entry.changes)

    @display(description="Data")
    def readable_data(self, entry: AuditEntry) -> SafeString:
        return readable_json(entry.data)

    @display(description="Metadata")
    def readable_metadata(self, entry: AuditEntry) -> SafeString:
        return readable_json(entry.metadata)


def _link(text: str, **parameters: str) -> SafeString:
    url = reverse("admin:audit_auditentry_changelist")
    query = urlencode({name: value for name, value in parameters.items() if value})
    return format_html('<a href="{}?{}" class="text-link">{}</a>', url, query, text)
