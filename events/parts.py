"""Putting an event's parts together without touching the caller's dictionaries."""

from __future__ import annotations

from typing import Any


def merged(given: Any, **stated: Any) -> Any:
    """A copy of the dictionary `given` (None is an empty one) with what is stated; a value of None states nothing.

    What is no dictionary is given back as it is: the emitter of the event refuses it by name.
    """
    if given is not None and not isinstance(given, dict):
        return given
    return {**(given or {}), **{name: value for name, value in stated.items() if value is not None}}


def stated_outcome(success: bool | None) -> str | None:
    """The `outcome` that an event's metadata states: `success`, `failure`, or None for anything but True and False."""
    if success is True:
        return "success"
    return "failure" if success is False else None
