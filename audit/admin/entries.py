"""The list of the log, and the page of one entry."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import localtime
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.utils import display_for_label

from audit.access import record_entry, record_list
from audit.admin import filters
from audit.admin.changelist import AS, LIVE, KeysetChangeList
from audit.admin.diff import Budget, field_changes
from audit.admin.integrity import IntegrityPage
from audit.models import AuditEntry
from audit.reading.formats import FORMATS
from audit.reading.paging import ORDER
from audit.templatetags.audit import OUTCOME_COLOURS
from events.cursor import Cursor
from events.journal import read_head
from events.readonly import ReadOnlyAdmin, TimeRangeFilter, one_line_time, readable_json
from events.types import EventPriority

PRIORITY_COLOURS = {
    EventPriority.LOW: "default",
    EventPriority.NORMAL: "info",
    EventPriority.HIGH: "warning",
    EventPriority.CRITICAL: "danger",
}


@admin.register(AuditEntry)
class AuditEntryAdmin(IntegrityPage, ReadOnlyAdmin):
    """The list, with filters and search over indexed columns, and the page of one entry."""

    list_display = ("time", "what", "outcome_badge", "priority_badge", "who", "resource", "ip_address")
    list_display_links = ("time", "what")
    list_filter = (
        filters.PeriodFilter,
        filters.CategoryFilter,
        filters.ActionFilter,
        ("outcome", ChoicesDropdownFilter),
        ("priority", ChoicesDropdownFilter),
        filters.ActorFilter,
        filters.UserFilter,
        filters.ResourceTypeFilter,
        filters.ResourceFilter,
        filters.CorrelationFilter,
        filters.AddressFilter,
        ("timestamp", TimeRangeFilter),
    )
    # Which columns are searched: `audit.reading.selection.searched`. Django shows the field where something is here.
    search_fields = ("event_id__exact",)
    search_help_text = "The whole of an event id, correlation, user id, actor or resource id"
    sortable_by = ()
    ordering = ORDER
    change_list_template = "audit/change_list.html"
    list_before_template = "audit/list_before.html"
    fieldsets = (
        ("What", {"fields": ("event_type", "action", "outcome_label", "priority_label", "source_category", "exact_time")}),
        ("Changes", {"fields": ("diff",)}),
        ("Who and where from", {"fields": ("who", "user_id", "ip_address", "user_agent", "session_id")}),
        ("To what", {"fields": ("resource", "resource_timeline")}),
        ("Where it belongs", {"fields": ("event_id", "correlation_id", "correlation_timeline")}),
        ("Details", {"fields": ("readable_data", "readable_metadata")}),
    )

    class Media:
        css = {"all": ["audit/audit.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        queryset = super().get_queryset(request)
        is_list = getattr(request.resolver_match, "url_name", "").endswith("_changelist")
        return queryset.defer("changes", "data", "metadata") if is_list else queryset

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        # The list itself searches, a query for each column: `KeysetChangeList.get_queryset`.
        return queryset, False

    def get_fieldsets(self, request: HttpRequest, obj: AuditEntry | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj is None or obj.changes else [one for one in fieldsets if one[0] != "Changes"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Read before the entries: the stream takes over from here, and none between is missed.
        head = read_head()
        response = super().changelist_view(request, {"live_cursor": Cursor(head.epoch, head.position)} | (extra_context or {}))
        context: dict[str, Any] = getattr(response, "context_data", None) or {}
        changelist = context.get("cl")
        if isinstance(changelist, KeysetChangeList):
            context |= self._around_the_list(request, changelist)
            if not changelist.is_followed:
                record_list("list", changelist.asked)
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().change_view(request, object_id, *args, **kwargs)
        original = (getattr(response, "context_data", None) or {}).get("original")
        if original is not None:
            record_entry(original.pk)
        return response

    def _around_the_list(self, request: HttpRequest, changelist: KeysetChangeList) -> dict[str, Any]:
        chosen = request.GET.get("period")
        export_url = reverse("admin:audit_auditentry_export")
        return {
            "periods": [("All time", changelist.get_query_string({"period": None}), not chosen)]
            + [
                (title, changelist.get_query_string({"period": name}), name == chosen)
                for name, (title, _) in filters.PERIODS.items()
            ],
            "exports": [(form.title, export_url + changelist.get_query_string({AS: form.name})) for form in FORMATS.values()]
            if self.has_export_permission(request)
            else [],
            "may_verify": self.has_verify_permission(request),
            "live_url": changelist.get_query_string({LIVE: changelist.live_parameter}) if changelist.is_first else "",
        }

    @display(description="Time")
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
        actor = entry.actor_label or (f"user {entry.user_id}" if entry.user_id else "–")
        return f"{actor} (by {entry.impersonator})" if entry.impersonator else actor

    @display(description="Resource")
    def resource(self, entry: AuditEntry) -> str:
        return " ".join(filter(None, (entry.resource_type, entry.resource_label or entry.resource_id))) or "–"

    @display(description="Its timeline")
    def resource_timeline(self, entry: AuditEntry) -> SafeString | str:
        if not (entry.resource_type and entry.resource_id):
            return "–"
        link = {"resource_type": entry.resource_type, "resource_id": entry.resource_id}
        return _timeline("All that happened to this resource", link)

    @display(description="Its timeline")
    def correlation_timeline(self, entry: AuditEntry) -> SafeString | str:
        if not entry.correlation_id:
            return "–"
        return _timeline("All that happened in this correlation", {"correlation": entry.correlation_id})

    @display(description="Old and new")
    def diff(self, entry: AuditEntry) -> SafeString:
        return mark_safe(render_to_string("audit/diff.html", {"changes": field_changes(entry.changes, Budget())}))  # noqa: S308  a template escapes

    @display(description="Data")
    def readable_data(self, entry: AuditEntry) -> SafeString:
        return readable_json(entry.data)

    @display(description="Metadata")
    def readable_metadata(self, entry: AuditEntry) -> SafeString:
        return readable_json(entry.metadata)


def _timeline(text: str, parameters: dict[str, str]) -> SafeString:
    url = reverse("admin:audit_auditentry_timeline")
    return format_html('<a href="{}?{}" class="text-link">{}</a>', url, urlencode(parameters), text)
