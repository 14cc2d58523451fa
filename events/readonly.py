"""What the admin pages of the event tables have in common: they show, and never change."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator


class ReadOnlyAdmin(ModelAdmin):
    """An admin that nobody, superusers included, can add, change or delete with. Viewing takes the view permission.

    The list is paged without counting the table.
    """

    actions = None
    list_per_page = 50
    list_filter_submit = True
    list_fullwidth = True
    paginator = InfinitePaginator
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # PostgreSQL raises on NUL only when the query runs, past where Django turns bad filters into this redirect.
        if any("\0" in value for values in request.GET.lists() for value in values[1]):
            return HttpResponseRedirect(f"{request.path}?e=1")
        return super().changelist_view(request, extra_context)


def readable_json(value: Any) -> SafeString:
    """The value as indented JSON for a page: markup in it is shown as text."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html(
        '<pre style="white-space: pre-wrap; overflow-wrap: anywhere; max-height: 40rem; overflow-y: auto">{}</pre>', text
    )
