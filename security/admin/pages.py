"""The page of an incident: what it is, its evidence, what was said about it, and the forms of who works on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.http import urlencode

from events.access import audiences_of
from events.client_ip import client_ip
from events.conf import settings as events_settings
from events.models import JournalEntry
from security import incidents
from security.alerts.digests import digests_of
from security.models import Delivery, Incident

MAX_REMARKS: Final = 200
MAX_TEXT_LENGTH: Final = 4_000
ACTS: Final[dict[str, Callable[[Incident, str, str], bool]]] = {
    "acknowledge": incidents.acknowledge,
    "note": incidents.note,
    "close": incidents.close,
}


class RemarkForm(forms.Form):
    """What a person says about an incident."""

    text = forms.CharField(max_length=MAX_TEXT_LENGTH, required=False)


class IncidentPages:
    """A mixin for the incidents' ModelAdmin."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view  # type: ignore[attr-defined]
        act = path("<path:object_id>/act/<str:act>/", wrap(self.act_view), name="security_incident_act")
        return [act, *super().get_urls()]  # type: ignore[misc]

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whether the user may acknowledge, note and close."""
        return request.user.has_perm("security.change_incident")

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """The page of one incident."""
        incident = self._incident(request, object_id)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "opts": self.opts,  # type: ignore[attr-defined]
            "title": str(incident),
            "incident": incident,
            "numbers": sorted((str(name), _shown(value)) for name, value in incident.numbers.items()),
            "links": links_of(request, incident),
            "moments": evidence_of(request, incident),
            "remarks": list(incident.remarks.order_by("-id")[:MAX_REMARKS]),
            "deliveries": [(delivery, target_of(delivery)) for delivery in deliveries_of(incident)],
            "may_act": self.has_act_permission(request),
            "max_text_length": MAX_TEXT_LENGTH,
        }
        return TemplateResponse(request, "security/incident.html", context)

    def act_view(self, request: HttpRequest, object_id: str, act: str) -> HttpResponse:
        """Acknowledge, note or close by a POST, then back to the page."""
        incident = self._incident(request, object_id)
        if not self.has_act_permission(request):
            raise PermissionDenied
        if act not in ACTS:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        form = RemarkForm(request.POST)
        if not form.is_valid():
            messages.error(request, " ".join(map(str, form.errors["text"])))
        elif act == "note" and not form.cleaned_data["text"]:
            messages.error(request, "A note needs a text.")
        elif not ACTS[act](incident, request.user.get_username(), form.cleaned_data["text"]):
            messages.warning(request, f"It could not be done: the incident is {incident_state(incident)}.")
        return HttpResponseRedirect(reverse("admin:security_incident_change", args=[incident.pk]))

    def _incident(self, request: HttpRequest, object_id: str) -> Incident:
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        incident: Incident | None = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if incident is None:
            raise Http404
        return incident


def incident_state(incident: Incident) -> str:
    """The state as it is in the database now."""
    incident.refresh_from_db(fields=["state"])
    return incident.state


def evidence_of(request: HttpRequest, incident: Incident) -> list[dict[str, Any]]:
    """The events that are kept as evidence, oldest first, each with a link to it where the user may see it."""
    evidence = list(incident.evidence.all())
    pages = {entry.event_id: entry for entry in _journaled(request, [(one.event_id, one.at) for one in evidence])}
    moments = []
    for one in evidence:
        entry = pages.get(one.event_id)
        moments.append(
            {
                "evidence": one,
                "url": reverse("admin:events_journalentry_change", args=[entry.pk]) if entry else "",
                "correlation_url": audit_url(request, "timeline", correlation=one.correlation_id) if one.correlation_id else "",
                "where": _where(entry) if entry else "",
            }
        )
    return moments


def _journaled(request: HttpRequest, events: list[tuple[str, Any]]) -> QuerySet[JournalEntry]:
    """Those events that the user may see and that are still in the journal, found by their moments, which are indexed."""
    rows = JournalEntry.objects.using(events_settings().DATABASE)
    if not request.user.has_perm("events.view_journalentry"):
        return rows.none()
    ids, moments = {event_id for event_id, _ in events}, {at for _, at in events}
    return rows.filter(timestamp__in=moments, event_id__in=ids, audience__in=sorted(audiences_of(request.user)))


def _where(entry: JournalEntry) -> str:
    event = entry.event
    address, user = event.metadata.get("ip_address"), event.user_id
    return " ".join(filter(None, (f"user {user}" if user else "", f"from {address}" if address else "")))


def links_of(request: HttpRequest, incident: Incident) -> list[tuple[str, str]]:
    """Where the history of the address and of the account is, as far as the user may see it: texts and addresses."""
    found = []
    if client_ip(incident.address):
        found.append((f"History of {incident.address}", audit_url(request, "changelist", address=incident.address)))
    if incident.account:
        found.append((f"History of user {incident.account}", audit_url(request, "changelist", user=incident.account)))
        found.append(_account_link(request, incident.account))
    if incident.correlation_id:
        found.append(
            ("All that happened in its correlation", audit_url(request, "timeline", correlation=incident.correlation_id))
        )
    about = {"resource_type": incidents.RESOURCE, "resource_id": str(incident.pk)}
    found.append(("What was done with it, in the audit log", audit_url(request, "timeline", **about)))
    return [(text, url) for text, url in found if url]


def _account_link(request: HttpRequest, account: str) -> tuple[str, str]:
    users = get_user_model()
    opts = users._meta
    if not any(request.user.has_perm(f"{opts.app_label}.{act}_{opts.model_name}") for act in ("view", "change")):
        return "", ""
    try:
        user = users._default_manager.filter(pk=account).first()
        url = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[account])
    except (ValueError, ValidationError, NoReverseMatch):
        return "", ""
    return (f"Account of {user.get_username()}", url) if user else ("", "")


def audit_url(request: HttpRequest, page: str, **query: str) -> str:
    """A page of the audit log; nothing for who may not see it, and where there is none."""
    if not request.user.has_perm("audit.view_auditentry"):
        return ""
    try:
        return f"{reverse(f'admin:audit_auditentry_{page}')}?{urlencode(query)}"
    except NoReverseMatch:
        return ""


def deliveries_of(incident: Incident) -> list[Delivery]:
    """Its own, and the digests that it was told in or will be."""
    return [*incident.deliveries.all(), *(digests_of(incident) if incident.digests else ())]


def target_of(delivery: Delivery) -> str:
    """Where it goes. Of a webhook the host alone: its path is often its secret."""
    return delivery.target if delivery.channel == "mail" else urlsplit(delivery.target).hostname or ""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "unknown" if value is None else str(value)
