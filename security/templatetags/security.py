"""Colours and words of incidents, for templates."""

from __future__ import annotations

from django import template

from security.alerts.digests import totals
from security.models import Delivery, Incident, Severity

register = template.Library()

# By Unfold's names.
SEVERITY_COLOURS = {Severity.LOW: "default", Severity.MEDIUM: "info", Severity.HIGH: "warning", Severity.CRITICAL: "danger"}
STATE_COLOURS = {Incident.State.OPEN: "danger", Incident.State.ACKNOWLEDGED: "info", Incident.State.CLOSED: "success"}


@register.filter
def severity_colour(severity: str) -> str:
    """The colour of a severity's label."""
    return SEVERITY_COLOURS.get(Severity(severity), "default")


@register.filter
def state_colour(state: str) -> str:
    """The colour of a state's label."""
    return STATE_COLOURS.get(Incident.State(state), "default")


@register.filter
def incidents(digest: Delivery) -> str:
    """How many incidents a digest tells of, in words."""
    number = sum(totals(digest).values())
    return "1 incident" if number == 1 else f"{number} incidents"


@register.filter
def words(name: str) -> str:
    """A name of the code as a person writes it: `brute_force` → `Brute force`."""
    return name.replace("_", " ").capitalize()
