"""The journal in Django's admin: to browse and search, never to change."""

from __future__ import annotations

from typing import Any

import orjson
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from unfold.contrib.filters.admin import ChoicesDropdownFilter, TextFilter
from unfold.decorators import display

from events.access import audiences_of
from events.exceptions import InvalidFilter
from events.filters import EventFilter
from events.models import JournalEntry
from events.readonly import ReadOnlyAdmin, TimeRangeFilter, one_line_time, readable_json
from events.types import EventPriority

PRIORITY_COLOURS = {
    EventPriority.LOW: "default",
    EventPriority.NORMAL: "info",
    EventPriority.HIGH: "warning",
    EventPriority.CRITICAL: "danger",
}


class TypesFilter(TextFilter):
    """Types or patterns, as everywhere. What is neither matches nothing."""

    title = "types (document.*, *.failed)"
    parameter_name = "types"

    def queryset(self, request: HttpRequest, queryset: QuerySet[JournalEntry]) -> QuerySet[JournalEntry]:
        text = (self.value() or "").strip()
        try:
            return EventFilter.from_query(text).restrict(queryset) if text else queryset
        except InvalidFilter:
            return queryset.none()


class UserFilter(TextFilter):
    """Events of one user."""

    title = "user id"
    parameter_name = "user"

    def queryset(self, request: HttpRequest, queryset: QuerySet[JournalEntry]) -> QuerySet[JournalEntry]:
        text = (self.value() or "").strip()
        return queryset.filter(user_id=text) if text else queryset


@admin.register(JournalEntry)
class JournalEntryAdmin(ReadOnlyAdmin):
    """The events that the signed-in user may see (`events.access`), those that wait in the outbox too."""

    list_display = ("what", "category", "priority_badge", "whose", "time", "position")
    list_filter = (
        ("category", ChoicesDropdownFilter),
        ("priority", ChoicesDropdownFilter),
        TypesFilter,
        UserFilter,
        ("timestamp", TimeRangeFilter),
    )
    search_fields = ("event_id__exact", "correlation_id__exact")
    search_help_text = "The whole of an event id or a correlation"
    sortable_by = ("position",)
    fieldsets = (
        ("What", {"fields": ("event_type", "category", "priority", "exact_time")}),
        ("Who may see it", {"fields": ("user_id", "audience")}),
        ("Where it belongs", {"fields": ("event_id", "correlation_id", "position")}),
        ("Details", {"fields": ("readable_data", "readable_metadata")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[JournalEntry]:
        rows: QuerySet[JournalEntry] = super().get_queryset(request)
        visible = rows.filter(audience__in=sorted(audiences_of(request.user)))
        is_list = getattr(request.resolver_match, "url_name", "").endswith("_changelist")
        return visible.defer("body", "private") if is_list else visible

    @display(description="Type", ordering="event_type")
    def what(self, entry: JournalEntry) -> str:
        return entry.event_type

    @display(description="Priority", label=PRIORITY_COLOURS)
    def priority_badge(self, entry: JournalEntry) -> str:
        return entry.priority

    @display(description="User")
    def whose(self, entry: JournalEntry) -> str:
        return entry.user_id or "–"

    @display(description="Time")
    def time(self, entry: JournalEntry) -> SafeString:
        return one_line_time(entry.timestamp)

    @display(description="Time")
    def exact_time(self, entry: JournalEntry) -> str:
        return localtime(entry.timestamp).isoformat(" ")

    @display(description="Data")
    def readable_data(self, entry: JournalEntry) -> SafeString:
        return readable_json(_part(entry, "data"))

    @display(description="Metadata")
    def readable_metadata(self, entry: JournalEntry) -> SafeString:
        return readable_json(_part(entry, "metadata"))


def _part(entry: JournalEntry, name: str) -> Any:
    """What the body says, which is what its audience may see: private metadata is kept beside it."""
    return orjson.loads(entry.body)[name]
