"""Verification of an export of the audit log, offline and with nothing but this package:

    python -m audit.evidence.verify export.jsonl --key 2026:ed25519-public:… --anchors audit-anchors

The exit status is 0 if everything is as it was sealed, 1 if something is not, 2 if it can't be verified: the file is no whole export, or a
key or the anchors can't be used. What the database holds is verified by `manage.py verify_audit`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from audit.evidence.anchors import Anchor, NoAnchors, read_anchors
from audit.evidence.archive import Archive, BadExport
from audit.evidence.keys import BadKey, Key, parse_keys
from audit.evidence.verifier import Verifier, printable


def verify_export(
    lines: Iterable[str], keys: Iterable[Key], anchors: Mapping[int, Anchor] | None = None, first: int | None = None
) -> Verifier:
    """Verify the lines of an export; the result says what was found. `first` is the number of the seal that it must begin with, by
    default the one that it says. Raises BadExport."""
    archive = Archive(lines)
    header = archive.header if first is None else archive.header._replace(from_seal=first)
    verifier = Verifier(keys, anchors, header)
    for part in archive.parts():
        verifier.seal(*part)
    verifier.finish(row["id"] for row in archive.unsealed)
    return verifier


def summary(verifier: Verifier) -> str:
    """What was verified, in a line."""
    head, anchors, header = verifier.last, verifier.anchors, verifier.header
    newest = header.newest.number if header and header.newest else 0
    of_newest = f" of {newest}" if header and newest > header.to_seal >= header.from_seal else ""
    parts = [f"{verifier.rows} rows in " + (f"seals {verifier.first} to {head.number}{of_newest}" if head else "no seal")]
    counts = {"removed": verifier.removed, "erased": verifier.erased, "not sealed yet": verifier.unsealed}
    parts += [f"{number} {word}" for word, number in counts.items() if number]
    if head:
        parts.append(f"up to row {head.last_id} (sealed {head.sealed_at})")
    if header:
        parts.append(f"exported {header.exported_at}")
    parts.append(f"{len(anchors)} anchors, up to seal {max(anchors)}" if anchors else "no anchors")
    if verifier.later:
        parts.append(f"the log has gone on to seal {verifier.later} since")
    kind = [] if verifier.is_complete else ["a selection"]
    if header and (of_newest or header.from_seal > 1):
        kind.append("a part of the log")
    return printable((f"{', '.join(kind)}: " if kind else "") + ", ".join(parts))


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a file. The exit status."""
    parser = argparse.ArgumentParser(prog="python -m audit.evidence.verify", description="Verify an export of the audit log.")
    parser.add_argument("export", type=Path, help="a file of JSON Lines, as export_audit writes it")
    parser.add_argument(
        "--key", action="append", required=True, metavar="ID:ALGORITHM:HEX", help="a key; more than one if it changed"
    )
    parser.add_argument("--anchors", type=Path, metavar="FILE", help="the file, or the log, that seals were anchored to")
    parser.add_argument(
        "--from-seal",
        type=int,
        metavar="NUMBER",
        help="the seal that it must begin with (default: what the export says of itself)",
    )
    options = parser.parse_args(arguments)
    try:
        keys = parse_keys(options.key)
        anchors = _anchors(options.anchors) if options.anchors else None
        with options.export.open(encoding="utf-8") as lines:
            verifier = verify_export(lines, keys, anchors, options.from_seal)
    except (BadKey, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (BadExport, UnicodeDecodeError) as error:
        sys.stderr.write(f"{options.export}: {printable(str(error))}\n")
        return 2
    for finding in verifier.findings:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{'FAILED' if verifier.findings else 'OK'}: {summary(verifier)}\n")
    return 1 if verifier.findings else 0


def _anchors(path: Path) -> dict[int, Anchor]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        found = read_anchors(lines)
    if not found:
        raise NoAnchors(f"{path} has no anchors")
    return found


if __name__ == "__main__":
    sys.exit(main())
