"""System checks: a misconfiguration is found when Django starts, with what to do about it."""

from __future__ import annotations

import os
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.db import connections
from pydantic import ValidationError

from events.conf import AppSettings, EventsSettings, load
from events.types import EventCategory


def settings_errors(cls: type[AppSettings], check_id: str) -> list[CheckMessage]:
    """One error for each key of the app's settings dict (or environment) that is unknown or has a bad value."""
    try:
        load(cls)
    except ValidationError as error:
        return [
            Error(
                f"{_name(cls, problem['loc'])}: {problem['msg']}.",
                hint=f"Known keys: {', '.join(cls.model_fields)}." if problem["type"] == "extra_forbidden" else None,
                id=check_id,
            )
            for problem in error.errors()
        ]
    except TypeError:
        return [Error(f"{cls.setting} must be a dictionary whose keys are text.", id=check_id)]
    return []


def _name(cls: type[AppSettings], place: tuple[int | str, ...]) -> str:
    """What is wrong, as the reader wrote it: an environment variable or a key of the dict."""
    variable = f"{cls.setting}_{place[0]}"
    return variable if variable in os.environ else f"{cls.setting}[{'.'.join(map(str, place))!r}]"


@register
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """events.E001: unknown keys and bad values of `EVENTS`."""
    return settings_errors(EventsSettings, "events.E001")


@register
def check_database(**kwargs: Any) -> list[CheckMessage]:
    """events.E002, E003: the journal's database exists and is one that the journal knows."""
    if check_settings():
        return []
    alias = load(EventsSettings).DATABASE
    if alias not in connections:
        return [Error(f"EVENTS['DATABASE'] is {alias!r}, which is not in DATABASES.", id="events.E002")]
    if connections[alias].vendor not in ("sqlite", "postgresql"):
        hint = "Use SQLite or PostgreSQL for EVENTS['DATABASE']; your other databases may be of any kind."
        return [Error(f"The journal can't be kept on {connections[alias].display_name}.", hint=hint, id="events.E003")]
    return []


@register
def check_write_modes(**kwargs: Any) -> list[CheckMessage]:
    """events.E004: `WRITE_MODES` names a category that there is not, or that is not written at all."""
    if check_settings():
        return []
    written = [str(category) for category in EventCategory if category is not EventCategory.STREAMING]
    return [
        Error(
            f"EVENTS['WRITE_MODES'] has a mode for {name!r}.",
            hint=f"Categories that are written: {', '.join(written)}.",
            id="events.E004",
        )
        for name in load(EventsSettings).WRITE_MODES
        if name not in written
    ]
