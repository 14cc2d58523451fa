"""What a caller asks of the audit log."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from audit.models import CATEGORIES, MAX_TEXT_LENGTH, Outcome
from audit.reading.formats import FORMATS
from audit.reading.paging import Key
from audit.reading.selection import Selection
from events.api.base import Invalid, Problem
from events.types import MAX_LABEL_LENGTH, MAX_TYPE_LENGTH, EventPriority

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
BEFORE, AFTER = "before-", "after-"


def _text(length: int, help_text: str) -> serializers.CharField:
    return serializers.CharField(required=False, max_length=length, help_text=help_text)


class AuditSelection(serializers.Serializer[Any]):
    """The parameters that say which entries are meant. Each is compared exactly."""

    category = serializers.ChoiceField(CATEGORIES, required=False, help_text="Where the entry comes from.")
    action = _text(MAX_TYPE_LENGTH, "What was done: `delete`.")
    outcome = serializers.ChoiceField(Outcome.choices, required=False, help_text="How it ended.")
    priority = serializers.ChoiceField(list(EventPriority), required=False, help_text="How urgent it was.")
    actor = _text(MAX_TEXT_LENGTH, "Who did it, in words of that time.")
    user_id = _text(MAX_LABEL_LENGTH, "The id of the user whose business it is.")
    resource_type = _text(MAX_TYPE_LENGTH, "The type of what it was done to: `auth.user`.")
    resource_id = _text(MAX_TEXT_LENGTH, "The id of what it was done to.")
    correlation = _text(MAX_LABEL_LENGTH, "The correlation id that the entries share.")
    address = serializers.IPAddressField(required=False, help_text="The IP address that it came from.")
    since = serializers.DateTimeField(required=False, help_text="Entries from this moment on (ISO 8601).")
    until = serializers.DateTimeField(required=False, help_text="Entries before this moment (ISO 8601).")


class AuditQuery(AuditSelection):
    """The parameters of `GET /api/audit/`."""

    page_size = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_PAGE_SIZE, help_text=f"{PAGE_SIZE} unless given."
    )
    cursor = serializers.CharField(required=False, help_text="A page, as `next` and `previous` name it.")


class ExportQuery(AuditSelection):
    """The parameters of `GET /api/audit/export/`."""

    as_ = serializers.ChoiceField(list(FORMATS), help_text="`jsonl` (JSON Lines), `csv`, or `ocsf`.")

    def get_fields(self) -> dict[str, Any]:
        # `as` is a word of Python's.
        fields = super().get_fields()
        fields["as"] = fields.pop("as_")
        return fields


def asked(request: Request, parameters: type[AuditSelection]) -> tuple[Selection, dict[str, Any]]:
    """The selection that the request asks for, and its other parameters. Raises Invalid for malformed, unknown and doubled ones."""
    given, serializer = request.query_params, parameters(data=request.query_params.dict())
    problems = [Problem(name, "is not a parameter of this page") for name in given if name not in serializer.fields]
    problems += [Problem(name, "is given more than once") for name, values in given.lists() if len(values) > 1]
    if not serializer.is_valid():
        problems += [Problem(name, str(details[0])) for name, details in serializer.errors.items()]
    if problems:
        raise Invalid(problems)
    values = dict(serializer.validated_data)
    parts: dict[str, Any] = {str(name): values.pop(name) for name in AuditSelection().fields if name in values}
    return Selection(**parts), values


def keys_of(cursor: str | None) -> dict[str, Key]:
    """The arguments of `read_page` that a cursor names. Raises Invalid."""
    if cursor is None:
        return {}
    try:
        for name, prefix in (("before", BEFORE), ("after", AFTER)):
            if cursor.startswith(prefix):
                return {name: Key.parse(cursor.removeprefix(prefix))}
    except ValueError:
        pass
    raise Invalid([Problem("cursor", "is not the cursor of a page")])
