"""Write docs/reference/{settings,commands,event-types}.md, and the README's table of settings, from the code that they describe.

A test compares them with it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatter_site.settings")

import django
from django.core.management import load_command_class
from django.core.management.base import DjangoHelpFormatter
from pydantic import IPvAnyNetwork
from pydantic.fields import FieldInfo

from events.conf import AppSettings

django.setup()

from events.sse.catalogue import PAYLOADS, EventType, priority_of

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
README = ROOT / "README.md"
# Between these lines of the README stand the tables of settings.
BEGIN, END = "<!-- settings: written by `make reference` -->\n", "<!-- /settings -->"
NOTE = "<!-- Written by `make reference` from the code. Change it there. -->\n"
OUR_APPS = ("events", "audit", "security", "chatter_site.demo")
COMMON_OPTIONS = {"-h", *DjangoHelpFormatter.show_last}
# How pydantic names what a field's metadata limits.
LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "max_length": "at most {} characters"}


WORDS = {
    type(None): "None", Any: "anything", str: "text", int: "integer", float: "number", bool: "`True` or `False`",
    dict: "object", frozenset: "set", IPvAnyNetwork: "network (CIDR)",
}  # fmt: skip


def settings_page() -> str:
    """The table of each settings dict."""
    parts = [
        NOTE,
        "# Settings\n",
        (
            "Each app reads one dictionary of the Django settings. Every key can also be set from the environment, which wins: "
            "`EVENTS_SSE_QUEUE_MAXSIZE=200`. Lists and sets are given there as JSON. An unknown key of the dictionary, or a bad value, is found by "
            "`manage.py check`.\n"
        ),
    ]
    return "\n".join(parts) + "\n" + settings_tables("## ")


def settings_tables(heading: str) -> str:
    """A heading and a table for each app."""
    parts = []
    for cls in app_settings():
        parts += [f"{heading}`{cls.setting}`\n", "| key | type | default | meaning |\n|---|---|---|---|"]
        parts += [settings_row(name, field) for name, field in cls.model_fields.items()]
        parts.append("")
    return "\n".join(parts)


def readme() -> str:
    """The README with the tables of settings as they are."""
    before, rest = README.read_text().split(BEGIN)
    return f"{before}{BEGIN}\n{settings_tables('### ')}\n{END}{rest.split(END)[1]}"


def app_settings() -> Iterator[type[AppSettings]]:
    """The settings class of each app."""
    for name in ("events.conf", "audit.conf", "security.conf"):
        module = import_module(name)
        yield from (
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, AppSettings)
            and value.__module__ == name
            and value is not AppSettings
        )


def settings_row(name: str, field: FieldInfo) -> str:
    """One key."""
    kind = type_name(field.annotation) + limits(field.metadata)
    return f"| `{name}` | {cell(kind)} | `{default(field.get_default(call_default_factory=True))}` | {cell(field.description or '')} |"


def default(value: Any) -> str:
    """A default as it would be written; sets in order."""
    return f"{{{', '.join(map(repr, sorted(value)))}}}" if isinstance(value, (set, frozenset)) and value else repr(value)


def type_name(annotation: Any) -> str:
    """A type as people write it, without modules."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(type_name(part) for part in parts)
    if origin is not None and hasattr(annotation, "__metadata__"):
        return type_name(parts[0]) + limits(annotation.__metadata__)
    if origin is dict:
        return "object"
    if origin is not None and parts:
        return f"{type_name(origin)} of {', '.join(type_name(part) for part in parts if part is not Ellipsis)}"
    return WORDS.get(annotation) or str(getattr(annotation, "__name__", annotation))


def limits(metadata: Any) -> str:
    """What the metadata of a field limits, in words."""
    found = []
    for item in metadata:
        for name, sign in LIMITS.items():
            limit = getattr(item, name, None)
            if limit is not None:
                found.append(sign.format(limit) if "{}" in sign else f"{sign} {limit}")
        if isinstance(item, FieldInfo):
            return limits(item.metadata)
    return f", {', '.join(found)}" if found else ""


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def commands_page() -> str:
    """What each management command does, and its arguments."""
    parts = [NOTE, "# Commands\n"]
    for app, name in commands():
        parser = load_command_class(app, name).create_parser("manage.py", name)
        parts += [f"## `{name}`\n", f"{parser.description}\n"]
        arguments = [action for action in parser._actions if not COMMON_OPTIONS.intersection(action.option_strings)]
        if arguments:
            parts += ["| argument | meaning |\n|---|---|", *map(argument_row, arguments), ""]
    return "\n".join(parts)


def argument_row(action: argparse.Action) -> str:
    """One argument. Not argparse's own help: it looks different in each version of Python."""
    value = "" if action.nargs == 0 else action.metavar or "|".join(action.choices or ()) or action.dest.upper()
    names = [f"`{name} {value}`" if value else f"`{name}`" for name in action.option_strings] or [f"`{action.dest}`"]
    meaning = cell(action.help or "") + (" (required)" if action.required and action.option_strings else "")
    return f"| {cell(', '.join(names))} | {meaning} |"


def commands() -> Iterator[tuple[str, str]]:
    """App and name of each of our management commands."""
    for app in OUR_APPS:
        directory = Path(import_module(app).__path__[0]) / "management" / "commands"
        yield from ((app, path.stem) for path in sorted(directory.glob("[a-z]*.py")))


def event_types_page() -> str:
    """The known types of `sse_service`, and what their data must hold."""
    parts = [
        NOTE,
        "# Event types\n",
        (
            "The types that `sse_service` and the `trigger_*` helpers know, with the data that each must hold. Further keys are "
            "allowed. Types of your own need no declaration: emit them with `events.emit`.\n"
        ),
        "| type | `EventType` | priority | data |\n|---|---|---|---|",
    ]
    for known in EventType:
        keys = [
            f"`{name}`: {type_name(field.annotation)}{limits(field.metadata)}{'' if field.is_required() else ', optional'}"
            for name, field in PAYLOADS[known].model_fields.items()
        ]
        parts.append(f"| `{known}` | `{known.name}` | {priority_of(known)} | {cell('; '.join(keys))} |")
    return "\n".join([*parts, ""])


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "event-types.md": event_types_page,
}


def main() -> None:
    """Write the pages."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())
    README.write_text(readme())


if __name__ == "__main__":
    main()
