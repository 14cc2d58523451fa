"""The admin's pages of the log beside list and entry: the timeline, the chart, the export of what is filtered."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode

from audit.access import record_list
from audit.admin.changelist import AFTER, BEFORE, key_in
from audit.admin.chart import OPTIONS, STEPS, volume
from audit.admin.diff import Budget, field_changes
from audit.admin.filters import PERIODS
from audit.reading.formats import FORMATS
from audit.reading.paging import Key, read_page
from audit.reading.selection import Selection
from audit.reading.streaming import UNRECORDED, export_response
from events.types import utcnow

TIMELINE_SIZE = 100
# What a timeline may be of: one correlation, or one object.
TIMELINES = ({"correlation"}, {"resource_type", "resource_id"})


class LogPages:
    """A mixin for the log's ModelAdmin. Each of `own_pages` is shown by a method of that name: `timeline_view`."""

    own_pages: tuple[str, ...] = ("timeline", "chart", "export")

    def get_urls(self) -> list[URLPattern]:
        wrap, name = self.admin_site.admin_view, "audit_auditentry"  # type: ignore[attr-defined]
        own = [path(f"{page}/", wrap(getattr(self, f"{page}_view")), name=f"{name}_{page}") for page in self.own_pages]
        return own + super().get_urls()  # type: ignore[misc]

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Whether the user may export the log."""
        return request.user.has_perm("audit.export_auditentry")

    def timeline_view(self, request: HttpRequest) -> HttpResponse:
        """What happened in one correlation (`correlation`), or to one object (`resource_type`, `resource_id`), newest first."""
        self._check_view(request)
        asked: dict[str, Any] = {
            name: value for name in ("correlation", "resource_type", "resource_id") if (value := request.GET.get(name))
        }
        if set(asked) not in TIMELINES or any("\0" in value for value in asked.values()):
            return HttpResponseRedirect(reverse("admin:audit_auditentry_changelist"))
        keys = {name: key for name in (BEFORE, AFTER) if (key := key_in(request.GET.get(name)))}
        page = read_page([Selection(**asked).rows().defer("data", "metadata")], TIMELINE_SIZE, **keys)
        record_list("timeline", asked)
        budget = Budget()

        def link(name: str, key: Key | None) -> str | None:
            return None if key is None else f"?{urlencode(asked | {name: str(key)})}"

        context = {
            "title": "Timeline of "
            + (f"correlation {asked['correlation']}" if "correlation" in asked else _named(page.entries, asked)),
            "moments": [(entry, field_changes(entry.changes, budget)) for entry in page.entries],
            "is_correlation": "correlation" in asked,
            "list_url": f"{reverse('admin:audit_auditentry_changelist')}?{urlencode(asked)}",
            "newer": link(AFTER, page.newer),
            "older": link(BEFORE, page.older),
        }
        return self._page(request, "timeline", context)

    def chart_view(self, request: HttpRequest) -> HttpResponse:
        """The volume by category over a period (`period`)."""
        self._check_view(request)
        period = request.GET.get("period", "")
        period = period if period in STEPS else "24h"
        shown = volume(period, utcnow())
        record_list("chart", {"period": period})
        list_url = reverse("admin:audit_auditentry_changelist")
        context = {
            "title": "Volume by category",
            "periods": [(PERIODS[name][0], f"?period={name}", name == period) for name in STEPS],
            "data": shown.chart_data(),
            "options": json.dumps(OPTIONS),
            "totals": [
                (name, number, f"{list_url}?{urlencode({'category': name, 'period': period})}") for name, number in shown.totals()
            ],
        }
        return self._page(request, "chart", context)

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The entries that the list shows with the same parameters, in the format `as`."""
        self._check_view(request)
        if not self.has_export_permission(request):
            raise PermissionDenied
        form = FORMATS.get(request.GET.get("as", ""))
        if form is None or any("\0" in value for values in request.GET.lists() for value in values[1]):
            return HttpResponseRedirect(f"{reverse('admin:audit_auditentry_changelist')}?e=1")
        try:
            changelist = self.get_changelist_instance(request)  # type: ignore[attr-defined]
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{reverse('admin:audit_auditentry_changelist')}?e=1")
        exported = export_response(request, form, changelist.queryset, changelist.asked)
        return exported or HttpResponse(UNRECORDED, status=503, content_type="text/plain")

    def _check_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        common = self.admin_site.each_context(request)  # type: ignore[attr-defined]
        opts = self.opts  # type: ignore[attr-defined]
        return TemplateResponse(request, f"audit/{name}.html", {**common, "opts": opts, **context})


def _named(entries: list[Any], asked: dict[str, str]) -> str:
    """What an object is called: as it was when the newest of its entries was made."""
    label = next((entry.resource_label for entry in entries if entry.resource_label), asked["resource_id"])
    return f"{asked['resource_type']} {label}"
