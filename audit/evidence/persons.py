"""Which rows of the log are a person's: what erasure blanks, and what a legal hold on the person keeps, in Python and in the triggers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q

# A column that has the person's id, and what another column must hold for that to be so.
Ways = Mapping[str, Mapping[str, tuple[str, ...]]]


def ways() -> Ways:
    """Their business; what they did, themselves or with a token; and what was done to their own record. By columns: JSON is not
    searched."""
    user = get_user_model()._meta
    # As changes name it, and as an event does whose type begins with it (`user.invited` with a `user_id`).
    names = (user.label_lower, str(user.model_name))
    return {"user_id": {}, "actor_id": {"actor_type": ("user", "token")}, "resource_id": {"resource_type": names}}


def where(user_id: str) -> Q:
    """The condition for a query."""
    return reduce(
        or_,
        (Q(**{column: user_id}, **{f"{name}__in": values for name, values in also.items()}) for column, also in ways().items()),
    )


def is_of(row: Mapping[str, Any], user_id: str) -> bool:
    """Whether a row is one of the person's."""
    return any(
        row[column] == user_id and all(row[name] in values for name, values in also.items()) for column, also in ways().items()
    )


def sql(row: str, user_id: str) -> str:
    """The condition in SQL, of the names of a row and of a column that has the id."""
    found = []
    for column, also in ways().items():
        others = [f"{row}.{name} IN ({', '.join(map(_quoted, values))})" for name, values in also.items()]
        found.append(" AND ".join([f"{row}.{column} = {user_id}", *others]))
    return " OR ".join(f"({condition})" for condition in found)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
