"""Links into the audit log from other pages of the admin, and what its own pages show."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.db.models import Model
from django.template.context import Context
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.timezone import localtime

from audit.models import Outcome
from audit.tracking.entries import resource_id_of
from audit.tracking.registry import plan_of
from events.access import may

register = template.Library()

# What is looked at and never changed has no history.
WITHOUT_HISTORY = frozenset({"audit.auditentry", "events.journalentry"})

OUTCOME_COLOURS = {Outcome.SUCCESS: "success", Outcome.FAILURE: "danger", Outcome.DENIED: "warning", Outcome.UNKNOWN: "default"}


@register.filter
def audit_outcome_colour(outcome: str) -> str:
    """The colour, by Unfold's name, of an outcome's label."""
    return OUTCOME_COLOURS.get(Outcome(outcome), "default") if outcome in Outcome.values else "default"


@register.filter
def audit_moment(text: str) -> str:
    """A moment as it is signed, readable: in the current time zone, to the second. What is none stays as it is."""
    try:
        return localtime(datetime.fromisoformat(text)).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return text


@register.simple_tag(takes_context=True)
def audit_timeline_url(context: Context, original: Any) -> str:
    """The address of an object's timeline; nothing for who may not see the log, and for what has no history.

        {% load audit %}
        {% audit_timeline_url original as url %}

    The user comes from `request`, so the context processor of that name must be on.
    """
    user = getattr(context.get("request"), "user", None)
    if not isinstance(original, Model) or original.pk is None or original._meta.label_lower in WITHOUT_HISTORY:
        return ""
    if not may(user, "audit.view_auditentry"):
        return ""
    query = urlencode(dict(zip(("resource_type", "resource_id"), _named(original), strict=True)))
    return f"{reverse('admin:audit_auditentry_timeline')}?{query}"


def _named(original: Model) -> tuple[str, str]:
    """Type and id that the object has in the log: of a tracked model the key may be kept as a hash."""
    try:
        plan = plan_of(original._meta.model)  # of a lazy `request.user` the type is another
    except KeyError:
        return original._meta.label_lower, str(original.pk)
    return plan.resource_type, resource_id_of(plan, original.pk)
