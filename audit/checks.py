"""System checks of the audit log."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.conf import AuditSettings, settings
from audit.evidence import roles, triggers
from audit.recorder import recorder
from audit.tracking.registry import plans
from events.checks import settings_errors
from events.conf import EventsSettings
from events.conf import settings as events_settings
from events.manager import event_router
from events.types import EventCategory

MIDDLEWARE = "events.context.EventContextMiddleware"


@register
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """audit.E001: unknown keys and bad values of `AUDIT`."""
    return settings_errors(AuditSettings, "audit.E001")


@register
def check_recorder(**kwargs: Any) -> list[CheckMessage]:
    """audit.E002: the audit log is installed and nothing writes it."""
    if recorder in event_router.emitters(EventCategory.AUDIT):
        return []
    return [
        Error(
            "Audit events are not written to the audit log.",
            hint="audit.apps.AuditConfig registers its emitter in ready(): name no other AppConfig in INSTALLED_APPS, or have "
            "it call ready() of its parent, and unregister the emitter nowhere.",
            id="audit.E002",
        )
    ]


@register
def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """audit.W001: nothing tells who did it and from where."""
    if MIDDLEWARE in django_settings.MIDDLEWARE:
        return []
    hint = f"Add {MIDDLEWARE!r} to MIDDLEWARE, after AuthenticationMiddleware."
    return [Warning("Audit entries of requests will have no actor, address and correlation.", hint=hint, id="audit.W001")]


@register
def check_tracked_databases(**kwargs: Any) -> list[CheckMessage]:
    """audit.E003: a tracked model lives in another database than the audit log: they could not commit together."""
    if settings_errors(EventsSettings, ""):  # told by a check of its own
        return []
    alias = events_settings().DATABASE
    return [
        Error(
            f"{model._meta.label} is tracked and is written to the database {written!r}; the audit log is in {alias!r}.",
            hint="A change and its entry are one transaction. Route the model to the audit log's database, or don't track it.",
            obj=model,
            id="audit.E003",
        )
        for model in plans
        if (written := router.db_for_write(model)) != alias
    ]


@register
def check_tracked_fields(**kwargs: Any) -> list[CheckMessage]:
    """audit.E004: `track` was told of a field that the model does not have."""
    found: list[CheckMessage] = []
    for plan in set(plans.values()):
        known = {f.name for f in (*plan.model._meta.concrete_fields, *plan.model._meta.many_to_many)}
        # What is declared of a parent holds for its children: they have its fields.
        found += [
            Error(
                f"{plan.model._meta.label} is tracked, and has no field {name!r}.",
                hint=f"Its fields are: {', '.join(sorted(known))}.",
                obj=plan.model,
                id="audit.E004",
            )
            for name in sorted(plan.declaration.names - known)
        ]
    return found


@register
def check_tracked_relatives(**kwargs: Any) -> list[CheckMessage]:
    """audit.W006: changes of a tracked object that nobody records, because they are written as another model's."""
    found: list[CheckMessage] = []
    for plan in set(plans.values()):
        parents = [parent for parent in plan.model._meta.all_parents if parent not in plans]
        throughs = [f.remote_field.through for f in plan.many_to_many]
        own = [t for t in throughs if t is not None and not t._meta.auto_created and t not in plans]
        found += [
            Warning(
                f"{plan.model._meta.label} is tracked, and {other._meta.label}, which holds a part of it, is not.",
                hint=f"Track {other._meta.label} too, or what is written through it is not recorded.",
                obj=plan.model,
                id="audit.W006",
            )
            for other in (*parents, *own)
        ]
    return found


@register(Tags.database)
def check_triggers(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """audit.W002: the log can be changed, because its triggers are gone, or something else is on its tables. No error: that would stop
    `migrate`, which puts triggers back."""
    connection = _log_connection(databases)
    if connection is None or not triggers.are_tables_there(connection):
        return []
    missing = triggers.missing(connection)
    if not missing:
        return []
    hint = (
        "Run `manage.py migrate`, which puts back what is ours and leaves the rest to you, and find out what happened: `manage.py "
        "verify_audit`."
    )
    message = f"The audit log may not be append-only: missing, changed or not ours: {', '.join(missing)}."
    return [Warning(message, hint=hint, id="audit.W002")]


@register(Tags.database)
def check_role(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """audit.W003: the site's database role could switch the triggers off."""
    connection = _log_connection(databases)
    if connection is None or connection.vendor != "postgresql" or not triggers.are_tables_there(connection):
        return []
    ways = roles.ways_around(connection)
    if not ways:
        return []
    hint = (
        "Migrate with the owner's role, and serve with one that has SELECT and INSERT on the tables of the audit log, UPDATE and DELETE on "
        "audit_log, SELECT, INSERT and UPDATE on audit_sealer, USAGE and SELECT on the sequences, and is a member of no other that has "
        "more: docs/how-to/seal-the-audit-log.md."
    )
    message = f"The database role could go around the triggers of the audit log: it {', '.join(ways)}."
    return [Warning(message, hint=hint, id="audit.W003")]


@register(deploy=True)
def check_seals(**kwargs: Any) -> list[CheckMessage]:
    """audit.W004, W005: the seals have no key of their own, or nothing outside of the database knows of them."""
    if check_settings():
        return []
    found: list[CheckMessage] = []
    if not settings().SEAL_KEYS:
        hint = "Set AUDIT['SEAL_KEYS'] (AUDIT_SEAL_KEYS) to a key that `python -m audit.evidence.keys ed25519 ID` makes."
        found.append(Warning("The seals of the audit log are signed with a key made of SECRET_KEY.", hint=hint, id="audit.W004"))
    elif settings().SECRET_KEY_LAST_SEAL is None:
        hint = "Set AUDIT['SECRET_KEY_LAST_SEAL'] to the number of the last seal that it signed (`manage.py audit_keys` tells), 0 if it signed none."
        found.append(Warning("A key made of SECRET_KEY still verifies any seal.", hint=hint, id="audit.W004"))
    if not (settings().ANCHOR_FILE or settings().ANCHOR_LOGGER):
        hint = "Set AUDIT['ANCHOR_FILE'] or AUDIT['ANCHOR_LOGGER'] to where who may write the database may not."
        found.append(Warning("Seals at the end of the audit log could be dropped unnoticed.", hint=hint, id="audit.W005"))
    return found


@register
def check_anchor_logger(**kwargs: Any) -> list[CheckMessage]:
    """audit.W005: the logger that seals are anchored with discards what it is told."""
    name = "" if check_settings() else settings().ANCHOR_LOGGER
    if not name or _takes_info(logging.getLogger(name)):
        return []
    hint = f"Give {name!r} in LOGGING the level INFO, and a handler of that level, which keeps it where who may write the database may not."
    return [
        Warning(
            f"AUDIT['ANCHOR_LOGGER'] is {name!r}, which discards INFO: no seal is anchored there.", hint=hint, id="audit.W005"
        )
    ]


def _takes_info(logger: logging.Logger) -> bool:
    """Whether a handler is told what the logger is told with INFO."""
    found: logging.Logger | None = logger if logger.isEnabledFor(logging.INFO) else None
    while found:
        if any(handler.level <= logging.INFO for handler in found.handlers):
            return True
        found = found.parent if found.propagate else None
    return False


def _log_connection(databases: Any) -> BaseDatabaseWrapper | None:
    """The connection to the audit log, where it is among the databases to be checked."""
    if not databases or settings_errors(EventsSettings, ""):
        return None
    alias = events_settings().DATABASE
    return connections[alias] if alias in databases else None
