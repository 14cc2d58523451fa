"""Seals, and the signed records of what was removed and erased: docs/audit-format.md. Needs neither Django nor a database."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NamedTuple, Self

from audit.evidence.canonical import CURRENT_FORMAT, Row, hash_of, row_digest
from audit.evidence.keys import Key

ID_BYTES: Final = 8
ENTRY_BYTES: Final = ID_BYTES + 32


class SealedRow(NamedTuple):
    """What a seal knows of a row."""

    id: int
    digest: str


def pack(rows: Iterable[SealedRow]) -> str:
    """The rows of a seal as hexadecimal: of each its id, in 8 bytes, and its digest."""
    return "".join(f"{row.id:016x}{row.digest}" for row in rows)


def unpack(rows: str) -> Iterator[SealedRow]:
    """What `pack` wrote. Raises ValueError for anything else."""
    size = 2 * ENTRY_BYTES
    if len(rows) % size:
        raise ValueError("the rows of a seal are cut off")
    for start in range(0, len(rows), size):
        yield SealedRow(int(rows[start : start + 2 * ID_BYTES], 16), rows[start + 2 * ID_BYTES : start + size])


def digest_of(rows: str) -> str:
    """The digest of a seal's rows, packed. Raises ValueError where they are not hexadecimal."""
    return hashlib.sha256(bytes.fromhex(rows)).hexdigest()


@dataclass(frozen=True)
class Signed:
    """What is signed: all fields but the signature, and those of `UNSIGNED`."""

    KIND: ClassVar[str]
    UNSIGNED: ClassVar[frozenset[str]] = frozenset({"signature"})

    format: int
    key_id: str
    algorithm: str
    signature: str

    @property
    def digest_of_all(self) -> str:
        """The digest that is signed, and that names it elsewhere."""
        values = {name: value for name, value in asdict(self).items() if name not in self.UNSIGNED}
        return hash_of(f"audit-{self.KIND}:{self.format}", values)

    def signed_by(self, key: Key) -> Self:
        """A copy with the key's signature."""
        unsigned = replace(self, key_id=key.id, algorithm=key.algorithm)
        return replace(unsigned, signature=key.sign(bytes.fromhex(unsigned.digest_of_all)))

    def is_signed_by(self, key: Key) -> bool:
        """Whether it has this key's signature."""
        return self.algorithm == key.algorithm and key.verifies(bytes.fromhex(self.digest_of_all), self.signature)

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """The names of its fields, in their order."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Self:
        """What an export or a table holds. Raises ValueError where a field is missing, unknown or of another kind."""
        if values.keys() != set(cls.columns()):
            raise ValueError(f"a {cls.KIND} has the fields {', '.join(cls.columns())}")
        for field in fields(cls):
            if not isinstance(values[field.name], int if field.type == "int" else str):
                raise ValueError(f"{field.name} of a {cls.KIND} is of another kind")
        return cls(**values)


@dataclass(frozen=True)
class Seal(Signed):
    """One range of rows, `first_id` to `last_id` without a gap to the ranges before and after it.

    `rows` names each row with its digest; `digest` is theirs together, and is what is signed. `previous` is `digest_of_all` of the
    seal before, "" for the first.
    """

    KIND = "seal"
    UNSIGNED = frozenset({"signature", "rows"})

    number: int
    first_id: int
    last_id: int
    count: int
    digest: str
    previous: str
    sealed_at: str
    rows: str

    def sealed_rows(self) -> list[SealedRow]:
        """The rows that it seals. Raises ValueError where they are not what was signed."""
        rows = list(unpack(self.rows))
        if digest_of(self.rows) != self.digest or len(rows) != self.count:
            raise ValueError(f"the rows of seal {self.number} are not those that were signed")
        return rows


@dataclass(frozen=True)
class Removal(Signed):
    """That rows of a seal were removed by retention, once they were in an archive. `seal_digest` is the seal's `digest_of_all`: the seal
    of the same number of another log is another.

    `rows` are the ids, as runs: `1-500,502`. A row was of `category` ("" is any) and older than `until`.
    """

    KIND = "removal"

    seal: int
    seal_digest: str
    first_id: int
    last_id: int
    category: str
    until: str
    rows: str
    archive: str
    archive_digest: str
    reason: str
    actor: str
    removed_at: str

    def ids(self) -> frozenset[int]:
        """The ids of the rows. Raises ValueError where they are none."""
        found: set[int] = set()
        for run in self.rows.split(","):
            first, _, last = run.partition("-")
            found.update(range(int(first), int(last or first) + 1))
        return frozenset(found)


@dataclass(frozen=True)
class Erasure(Signed):
    """That the personal columns of a row were erased. `personal` is the commitment to them that its seal holds."""

    KIND = "erasure"

    row_id: int
    personal: str
    reason: str
    actor: str
    erased_at: str


def make_seal(rows: Sequence[Row], last_id: int, previous: Seal | None, key: Key, first_id: int = 1) -> Seal:
    """The signed seal that follows on `previous`: of all rows after it up to `last_id`, in the order of their ids."""
    packed = pack(SealedRow(row["id"], row_digest(row, CURRENT_FORMAT)) for row in rows)
    return Seal(
        format=CURRENT_FORMAT,
        key_id="",
        algorithm="",
        signature="",
        number=previous.number + 1 if previous else 1,
        first_id=previous.last_id + 1 if previous else first_id,
        last_id=last_id,
        count=len(rows),
        digest=digest_of(packed),
        previous=previous.digest_of_all if previous else "",
        sealed_at=moment(datetime.now(UTC)),
        rows=packed,
    ).signed_by(key)


def spans(ids: Iterable[int]) -> list[tuple[int, int]]:
    """Ids in order, as the first and the last of each run of them."""
    found: list[tuple[int, int]] = []
    for row_id in ids:
        if found and row_id == found[-1][1] + 1:
            found[-1] = (found[-1][0], row_id)
        else:
            found.append((row_id, row_id))
    return found


def runs(ids: Iterable[int]) -> str:
    """Ids in order as runs: `1-500,502`."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans(ids))


MOMENT: Final = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z\Z")


def is_moment(text: str) -> bool:
    """Whether a text is a moment as `moment` writes it."""
    try:
        return bool(MOMENT.match(text) and datetime.fromisoformat(text))
    except ValueError:
        return False


def moment(time: datetime) -> str:
    """A moment as it is signed: `2026-11-24T12:00:00.000000Z`."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
