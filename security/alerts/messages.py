"""Alerts as mails."""

from __future__ import annotations

from django.core.mail import DNS_NAME, EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse

from security.conf import settings
from security.models import Delivery, Incident

MAX_SUBJECT_LENGTH = 150


def send(delivery: Delivery) -> None:
    """Send the alert through Django's mail backend. Raises what the backend raises."""
    context = {"incident": delivery.incident, "url": incident_url(delivery.incident)}
    mail = EmailMultiAlternatives(
        subject=subject(delivery.incident),
        body=render_to_string("security/alert.txt", context),
        to=[delivery.target],
        # The same for each attempt, so that a mailbox which got it twice shows it once.
        headers={"Message-ID": f"<{message_id(delivery)}@{DNS_NAME}>", "Auto-Submitted": "auto-generated"},
        connection=get_connection(timeout=settings().DELIVERY_TIMEOUT),
    )
    mail.attach_alternative(render_to_string("security/alert.html", context), "text/html")
    mail.send()


def message_id(delivery: Delivery) -> str:
    """The same for all attempts at one message; another one once the incident got worse."""
    return f"alert-{delivery.pk}-{delivery.incident.severity}"


def subject(incident: Incident) -> str:
    """One line, whatever the summary holds."""
    words = f"[{incident.get_severity_display()}] {incident.summary}".split()
    line = "".join(character for character in " ".join(words) if character.isprintable())
    return line if len(line) <= MAX_SUBJECT_LENGTH else line[: MAX_SUBJECT_LENGTH - 1] + "…"


def incident_url(incident: Incident) -> str:
    """Where the incident's page is; nothing where there is no admin."""
    try:
        path = reverse("admin:security_incident_change", args=[incident.pk])
    except NoReverseMatch:
        return ""
    return settings().SITE_URL.rstrip("/") + path
