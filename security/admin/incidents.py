"""The list of incidents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from events.readonly import ReadOnlyAdmin, TimeRangeFilter, one_line_time
from security.admin.dashboard import DashboardPage
from security.admin.pages import IncidentPages
from security.incidents import incidents
from security.models import Incident
from security.templatetags.security import SEVERITY_COLOURS, STATE_COLOURS

RECENT = 1_000


class KindFilter(DropdownFilter):
    """What kind of attack. Offers those of the latest incidents: a DISTINCT over all would read all of them."""

    title = parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        latest = incidents().order_by("-last_event_at", "-id").values_list("kind", flat=True)[:RECENT]
        kinds = {*latest, self.value() or ""} - {""}
        return [(kind, kind.replace("_", " ").capitalize()) for kind in sorted(kinds)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Incident]) -> QuerySet[Incident]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Incident)
class IncidentAdmin(DashboardPage, IncidentPages, ReadOnlyAdmin):
    """Incidents, the latest first; the page of one, where people work on it; the dashboard."""

    list_display = ("what", "severity_badge", "state_badge", "about", "events", "opened", "last_event")
    list_display_links = ("what",)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("severity", ChoicesDropdownFilter),
        KindFilter,
        ("opened_at", TimeRangeFilter),
    )
    # Django shows the field where something is here; what is searched, `get_search_results` says.
    search_fields = ("subject__exact",)
    search_help_text = "The whole of a subject, an address, an account's id or a correlation"
    sortable_by = ()
    list_before_template = "security/list_before.html"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Incident], search_term: str
    ) -> tuple[QuerySet[Incident], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        return queryset.filter(Q(subject=text) | Q(address=text) | Q(account=text) | Q(correlation_id=text)), False

    class Media:
        css = {"all": ["security/security.css"]}

    @display(description="What")
    def what(self, incident: Incident) -> str:
        return incident.kind.replace("_", " ").capitalize()

    @display(description="Severity", label=SEVERITY_COLOURS)
    def severity_badge(self, incident: Incident) -> tuple[str, str]:
        return incident.severity, incident.get_severity_display()

    @display(description="State", label=STATE_COLOURS)
    def state_badge(self, incident: Incident) -> tuple[str, str]:
        return incident.state, incident.get_state_display()

    @display(description="Subject")
    def about(self, incident: Incident) -> SafeString:
        return format_html('<span class="security-subject" title="{}">{}</span>', incident.subject, incident.subject)

    @display(description="Opened")
    def opened(self, incident: Incident) -> SafeString:
        return one_line_time(incident.opened_at)

    @display(description="Last event")
    def last_event(self, incident: Incident) -> SafeString:
        return one_line_time(incident.last_event_at)
