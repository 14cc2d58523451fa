"""The dashboard: incidents that are not closed, failures over time, who fails and where from, what to put right."""

from __future__ import annotations

import json
from collections import Counter
from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Count, IntegerField, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode

from events.client_ip import undeclared_proxy
from events.types import utcnow
from security.admin.figures import HOURS, OPTIONS, Frequent, figures
from security.admin.pages import audit_url
from security.alerts.digests import deliveries
from security.enforcement import cool_offs
from security.incidents import NOT_CLOSED, incidents
from security.memory import seen_proxies
from security.models import Delivery, Severity
from security.sources import proxies

SHOWN: Final = 10
# The worst first.
BY_SEVERITY: Final = [*Severity][::-1]
RANK: Final = Case(
    *(When(severity=severity, then=Value(rank)) for rank, severity in enumerate(BY_SEVERITY)),
    output_field=IntegerField(),
)


class DashboardPage:
    """A mixin for the incidents' ModelAdmin."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view  # type: ignore[attr-defined]
        page = path("dashboard/", wrap(self.dashboard_view), name="security_incident_dashboard")
        forget = path("dashboard/forget-proxy/", wrap(self.forget_proxy_view), name="security_incident_forget_proxy")
        return [page, forget, *super().get_urls()]  # type: ignore[misc]

    def dashboard_view(self, request: HttpRequest) -> HttpResponse:
        """The dashboard, for who may see incidents. The page asks for itself again when an incident opens or changes."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        shown = figures(utcnow())
        list_url = reverse("admin:security_incident_changelist")
        counts = dict(incidents().filter(state__in=NOT_CLOSED).order_by().values_list("severity").annotate(Count("pk")))
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "opts": self.opts,  # type: ignore[attr-defined]
            "title": "Security",
            "counts": [
                (severity.label, severity, counts.get(severity, 0), f"{list_url}?{urlencode({'severity__exact': severity})}")
                for severity in BY_SEVERITY
            ],
            "incidents": incidents().filter(state__in=NOT_CLOSED).order_by(RANK, "-last_event_at", "-id")[:SHOWN],
            "open": sum(counts.values()),
            "proxies": undeclared_proxies(),
            "may_forget": self.has_act_permission(request),  # type: ignore[attr-defined]
            "given_up": sorted(_given_up().items()),
            "figures": shown,
            "hours": HOURS,
            "options": json.dumps(OPTIONS),
            "addresses": _linked(request, shown.addresses, "address") if shown else [],
            "accounts": _linked(request, shown.accounts, "user") if shown else [],
            "cool_offs": cool_offs.in_force().count(),
        }
        return TemplateResponse(request, "security/dashboard.html", context)

    def forget_proxy_view(self, request: HttpRequest) -> HttpResponse:
        """By a POST with its `address`, warn of a proxy no more; then back to the dashboard."""
        if not (self.has_view_permission(request) and self.has_act_permission(request)):  # type: ignore[attr-defined]
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        address = request.POST.get("address", "")
        if address not in seen_proxies() or not proxies.forget(address, request.user.get_username()):
            messages.warning(request, "It could not be done: it is not known.")
        return HttpResponseRedirect(reverse("admin:security_incident_dashboard"))


def undeclared_proxies() -> list[str]:
    """The peers to warn of: they send `X-Forwarded-For`, and are not declared by now."""
    return [proxy for proxy in seen_proxies()[:SHOWN] if undeclared_proxy(proxy, "x") is not None]


def _given_up() -> Counter[str]:
    """By channel, how many deliveries were given up that tell of incidents that are not closed."""
    failed = deliveries().filter(state=Delivery.State.FAILED)
    of_one = failed.filter(incident__state__in=NOT_CLOSED).order_by().values_list("channel").annotate(Count("pk"))
    not_closed = incidents().filter(state__in=NOT_CLOSED)
    digests = failed.filter(incident=None).order_by("-id").values_list("pk", "channel")[:SHOWN]
    of_many = Counter(channel for pk, channel in digests if not_closed.filter(digests__has_key=str(pk)).exists())
    return Counter(dict(of_one)) + of_many


def _linked(request: HttpRequest, found: list[Frequent], parameter: str) -> list[tuple[Frequent, str]]:
    """Each with its failures in the audit log, as far as the user may see it."""
    query = {"action": "login_failure", "period": "24h"}
    return [(one, audit_url(request, "changelist", **query, **{parameter: one.key}) if one.key else "") for one in found]
