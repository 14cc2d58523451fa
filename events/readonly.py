"""What the admin pages of the event tables have in common: they show, and never change."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import is_naive, localtime, make_aware
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.paginator import InfinitePaginator

from events.conf import settings


class ReadOnlyAdmin(ModelAdmin):
    """An admin that nobody, superusers included, can add, change or delete with. Viewing takes the view permission.

    It shows the tables that are where the journal is (`EVENTS["DATABASE"]`); the list is paged without counting them.
    """

    actions = None
    list_per_page = 50
    list_filter_submit = True
    list_fullwidth = True
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(settings().DATABASE)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Whether a filter of the list asks for it. Other lookups may read the whole table, or be refused by the database."""
        if lookup.partition("__")[0] not in {field.name for field in self.opts.get_fields()}:
            return True
        by_column = {f"{entry[0]}__exact" for entry in self.list_filter if isinstance(entry, tuple)}
        return lookup in by_column | {entry.parameter_name for entry in self.list_filter if not isinstance(entry, tuple)}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # PostgreSQL raises on NUL only when the query runs, past where Django turns bad filters into this redirect.
        if any("\0" in value for values in request.GET.lists() for value in values[1]):
            return HttpResponseRedirect(f"{request.path}?e=1")
        return super().changelist_view(request, extra_context)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> HttpResponse:
        # The history of an object is what was done to it in the admin, which is nothing.
        return super().render_change_form(request, context | {"show_history": False}, *args, **kwargs)


class TimeRangeFilter(RangeDateTimeFilter):
    """From a moment and to a moment, in the current time zone. A day without a time is the whole day.

    What can't be read as one matches nothing, and says so.
    """

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for end, lookup, whole_day in (("from", "gte", "00:00:00"), ("to", "lte", "23:59:59.999999")):
            date = self.used_parameters.get(f"{self.parameter_name}_{end}_0")
            time = self.used_parameters.get(f"{self.parameter_name}_{end}_1")
            if not (date or time):
                continue
            moment = parse_moment(f"{date or ''} {time or whole_day}")
            if moment is None:
                messages.error(request, f"“{end}” needs a day like 2026-01-31, and may have a time like 13:45:00.")
                return queryset.none()
            queryset = queryset.filter(**{f"{self.parameter_name}__{lookup}": moment})
        return queryset


def parse_moment(text: str) -> datetime | None:
    """The moment that a day and a time name in the current time zone; None if they name none."""
    try:
        moment = parse_datetime(text)
        return (make_aware(moment) if is_naive(moment) else moment).astimezone(UTC) if moment else None
    except (ValueError, OverflowError):
        return None


def one_line_time(moment: datetime) -> SafeString:
    """A moment for a column of a list, which must not break it."""
    return format_html('<span style="white-space: nowrap">{}</span>', localtime(moment).strftime("%Y-%m-%d %H:%M:%S"))


def readable_json(value: Any) -> SafeString:
    """The value as indented JSON for a page: markup in it is shown as text."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html(
        '<pre style="white-space: pre-wrap; overflow-wrap: anywhere; max-height: 40rem; overflow-y: auto">{}</pre>', text
    )
