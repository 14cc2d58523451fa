"""Attacks that show in what is asked for, and refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from security.conf import settings
from security.detection import Count, Detection, Hit, Observation
from security.detectors.words import LOGIN_FAILURES, REFUSALS, about_address, is_miss, numbers
from security.models import Severity


class RefusalBurst:
    """Many requests from one address that are refused: 401, 403, CSRF.

    Catches somebody, or a program, that tries what it may do. Doesn't catch slow tries. A broken client looks the same.
    """

    kind = "refusal_burst"

    def hits(self, seen: Observation) -> list[Hit]:
        if seen.network is None or seen.event_type not in REFUSALS or is_miss(seen):
            return []
        window = timedelta(seconds=settings().REFUSALS_WINDOW)
        return [Hit(f"refusals/{seen.network}", window, settings().REFUSALS)]

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        threshold, window = settings().REFUSALS, settings().REFUSALS_WINDOW
        if counts[0].number < threshold:
            return None
        summary = f"{threshold} refused requests or more within {window} s: address {seen.network}"
        return about_address(
            self.kind, Severity.MEDIUM, seen, summary, numbers(seen, {"address": seen.network}, counts[0], threshold, window)
        )


class Enumeration:
    """One address that asks for many pages that are not there, or signs in with many different usernames that are nobody's.

    Catches scanners, and lists of names. Doesn't catch slow ones, or those that change their address; pages that are not there show from a third of
    the threshold on in one process (`security.sources.floods`), so that many processes see a scan later. A crawler that follows dead links
    looks the same.
    """

    kind = "enumeration"

    def hits(self, seen: Observation) -> list[Hit]:
        if seen.network is None:
            return []
        window, limit = timedelta(seconds=settings().ENUMERATION_WINDOW), settings().ENUMERATION
        if is_miss(seen):
            return [Hit(f"enumeration/pages/{seen.network}", window, limit)]
        if seen.event_type in LOGIN_FAILURES and seen.username_hash:
            return [Hit(f"enumeration/usernames/{seen.network}", window, limit, seen.username_hash)]
        return []

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        threshold, window, pages = settings().ENUMERATION, settings().ENUMERATION_WINDOW, is_miss(seen)
        if (counts[0].number if pages else counts[0].members) < threshold:
            return None
        what = "requests for pages that are not there" if pages else "unknown usernames"
        summary = f"{threshold} {what} or more within {window} s: address {seen.network}"
        return about_address(
            self.kind, Severity.MEDIUM, seen, summary, numbers(seen, {"address": seen.network}, counts[0], threshold, window)
        )
