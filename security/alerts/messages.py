"""Alerts as mails."""

from __future__ import annotations

from typing import Any

from django.core.mail import DNS_NAME, EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse

from security.alerts import digests
from security.conf import settings
from security.models import Delivery, Incident

MAX_SUBJECT_LENGTH = 150


def send(delivery: Delivery) -> None:
    """Send the alert or the digest through Django's mail backend. Raises what the backend raises."""
    name, context = _rendered(delivery)
    mail = EmailMultiAlternatives(
        subject=subject(delivery),
        body=render_to_string(f"security/{name}.txt", context),
        to=[delivery.target],
        # The same for each attempt, so that a mailbox which got it twice shows it once.
        headers={"Message-ID": f"<{message_id(delivery)}@{DNS_NAME}>", "Auto-Submitted": "auto-generated"},
        connection=get_connection(timeout=settings().DELIVERY_TIMEOUT),
    )
    mail.attach_alternative(render_to_string(f"security/{name}.html", context), "text/html")
    mail.send()


def message_id(delivery: Delivery) -> str:
    """The same for all attempts at one message; another one once the incident got worse."""
    return f"alert-{delivery.pk}-{delivery.incident.severity}" if delivery.incident else f"digest-{delivery.pk}"


def subject(delivery: Delivery) -> str:
    """One line, whatever the summary holds."""
    line = "".join(character for character in " ".join(_headline(delivery).split()) if character.isprintable())
    return line if len(line) <= MAX_SUBJECT_LENGTH else line[: MAX_SUBJECT_LENGTH - 1] + "…"


def incident_url(incident: Incident) -> str:
    """Where the incident's page is; nothing where there is no admin."""
    return _url("change", incident.pk)


def list_url() -> str:
    """Where the list of incidents is; nothing where there is no admin."""
    return _url("changelist")


def _headline(delivery: Delivery) -> str:
    if delivery.incident:
        return f"[{delivery.incident.get_severity_display()}] {delivery.incident.summary}"
    totals = digests.totals(delivery)
    number, worst = sum(totals.values()), next(iter(totals))
    counted = ", ".join(f"{number} {severity}" for severity, number in totals.items())
    return f"[{worst.label}] Digest of {number} incident{'' if number == 1 else 's'}: {counted}"


def _rendered(delivery: Delivery) -> tuple[str, dict[str, Any]]:
    """The name of its templates, and what they show."""
    if delivery.incident:
        return "alert", {"incident": delivery.incident, "url": incident_url(delivery.incident)}
    lines = digests.lines(delivery)
    return "digest", {
        "digest": delivery,
        "lines": lines,
        "number": sum(line.number for line in lines),
        "limit": settings().ALERTS_AN_HOUR,
        "url": list_url(),
    }


def _url(page: str, *args: Any) -> str:
    try:
        path = reverse(f"admin:security_incident_{page}", args=args)
    except NoReverseMatch:
        return ""
    return settings().SITE_URL.rstrip("/") + path
