"""The failed logins that the security monitor counts, in Django's admin: to see, never to change."""

from __future__ import annotations

from django.contrib import admin
from django.utils.formats import date_format
from django.utils.timezone import localtime
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from events.readonly import ReadOnlyAdmin, TimeRangeFilter
from security.models import FailureWindow, KeyKind

KIND_COLOURS = {KeyKind.ADDRESS: "info", KeyKind.ACCOUNT: "primary", KeyKind.USERNAME: "default"}


@admin.register(FailureWindow)
class FailureWindowAdmin(ReadOnlyAdmin):
    """Who fails to sign in now, and what was alerted."""

    list_display = ("key", "kind_badge", "failures", "last_failure", "alert_badge", "alerted_at")
    list_filter = (("kind", ChoicesDropdownFilter), ("counted_at", TimeRangeFilter))
    search_fields = ("key__exact",)
    search_help_text = "The whole of an address, an account's id or a hash"
    fieldsets = (
        ("Who", {"fields": ("kind", "key")}),
        ("Failed logins", {"fields": ("failures", "since", "last_failure", "counted_at")}),
        ("Alert", {"fields": ("alerted_at", "since_alert")}),
    )

    @display(description="Kind", ordering="kind", label=KIND_COLOURS)
    def kind_badge(self, window: FailureWindow) -> tuple[str, str]:
        return window.kind, window.get_kind_display()

    @display(description="Recent failures")
    def failures(self, window: FailureWindow) -> int:
        return len(window.recent)

    @display(description="First failure")
    def since(self, window: FailureWindow) -> str:
        return date_format(localtime(window.first_failure), "DATETIME_FORMAT")

    @display(description="Alert", label={"alerted": "danger", "none": "success"})
    def alert_badge(self, window: FailureWindow) -> str:
        return "alerted" if window.alerted_at else "none"
