"""Legal holds: rows that neither retention nor erasure may touch until the hold is released.

The triggers refuse it too, but can check no signature: they believe every release. Here, where retention and erasure ask, a hold counts
signed or not, and only a release that is signed ends it; `findings` tells of what is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.db import transaction

from audit import access
from audit.conf import seal_keys
from audit.evidence import persons
from audit.evidence.canonical import CURRENT_FORMAT
from audit.evidence.keys import Key, by_id
from audit.evidence.seals import Signed, moment
from audit.evidence.verifier import Finding
from audit.models import LegalHold
from events.conf import settings
from events.types import utcnow

# What a hold says of a row, by the row's column; a person is in several.
PLAIN: Final = {"category": "source_category", "resource_type": "resource_type", "resource_id": "resource_id"}
COLUMNS: Final = (*PLAIN, "user_id")


@dataclass(frozen=True)
class Hold(Signed):
    """A hold, or the end of one: `releases` is its id, 0 in a hold, and `released` its digest."""

    KIND = "hold"

    releases: int
    released: str
    category: str
    user_id: str
    resource_type: str
    resource_id: str
    reason: str
    actor: str
    placed_at: str


def place(reason: str, **which: str) -> LegalHold:
    """Hold the rows that have all these values (`category`, `resource_type`, `resource_id`; of `user_id`: all that are this person's);
    without any, all rows.

    Raises TypeError for another column, NotRecorded, and DatabaseError.
    """
    if unknown := which.keys() - set(COLUMNS):
        raise TypeError(f"a hold has no {', '.join(sorted(unknown))}")
    with transaction.atomic(using=settings().DATABASE):
        hold = _write(reason=reason, **which)
        access.must_record("held", {"hold": hold.id, "reason": reason, **which}, urgent=True)
    return hold


def release(hold_id: int, reason: str) -> bool:
    """End a hold. False if there is none of this id in force. Raises NotRecorded, and DatabaseError."""
    with transaction.atomic(using=settings().DATABASE):
        hold = next((hold for hold in in_force() if hold.id == hold_id), None)
        if hold is None:
            return False
        _write(reason=reason, releases=hold_id, released=_digest(hold))
        access.must_record("released", {"hold": hold_id, "reason": reason}, urgent=True)
    return True


def in_force() -> list[LegalHold]:
    """The holds that were not released, in their order."""
    keys = by_id(seal_keys())
    found = _all()
    released = {(row.releases, row.released) for row in found if row.releases and _is_signed(row, keys)}
    return [row for row in found if not row.releases and (row.id, _digest(row)) not in released]


def is_held(row: Mapping[str, Any], holds: Iterable[LegalHold]) -> bool:
    """Whether one of the holds is on the row."""
    return any(_holds(hold, row) for hold in holds)


def findings(keys: Iterable[Key]) -> list[Finding]:
    """The holds and releases that none of the keys signed as they stand."""
    known = by_id(keys)
    return [
        Finding(
            "signature wrong",
            0,
            0,
            f"{f'the release of legal hold {row.releases}' if row.releases else row} was not signed as it stands",
        )
        for row in _all()
        if not _is_signed(row, known)
    ]


def _all() -> list[LegalHold]:
    return list(LegalHold.objects.using(settings().DATABASE).order_by("id"))


def _write(**values: Any) -> LegalHold:
    empty: dict[str, Any] = {
        "format": CURRENT_FORMAT,
        "key_id": "",
        "algorithm": "",
        "signature": "",
        "releases": 0,
        "released": "",
    }
    told = dict.fromkeys(COLUMNS, "") | {"actor": access.actor_label(), "placed_at": moment(utcnow())}
    row = LegalHold(**asdict(Hold(**empty | told | values).signed_by(seal_keys()[0])))
    row.save(using=settings().DATABASE, force_insert=True)
    return row


def _signed(row: LegalHold) -> Hold:
    return Hold.from_values({name: getattr(row, name) for name in Hold.columns()})


def _digest(row: LegalHold) -> str:
    """The digest that a release names; "" for a row with what nobody can have signed."""
    try:
        return _signed(row).digest_of_all
    except ValueError:
        return ""


def _is_signed(row: LegalHold, keys: Mapping[str, Key]) -> bool:
    key = keys.get(row.key_id)
    return key is not None and bool(_digest(row)) and _signed(row).is_signed_by(key)


def _holds(hold: LegalHold, row: Mapping[str, Any]) -> bool:
    plain = all(getattr(hold, name) in ("", row[column]) for name, column in PLAIN.items())
    return plain and (not hold.user_id or persons.is_of(row, hold.user_id))
