"""What the detectors make of happenings, each with the time it happened: attacks, with their beginning, end and numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from security.detection import Counters, Detection, Detector, Observation
from security.models import SEVERITIES, Severity
from security.recognition import recognise

KEPT: Final = 20
MAX_ATTACKS: Final = 10_000


@dataclass(slots=True)
class Attack:
    """Detections of one kind and subject that follow one another. `first_seen` are what detectors saw of it at its beginning, `last_seen` at
    its end."""

    detection: Detection
    first: datetime
    last: datetime
    events: int = 0
    severity: Severity = Severity.LOW
    first_seen: list[Observation] = field(default_factory=list)
    last_seen: deque[Observation] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, detection: Detection, seen: Observation) -> None:
        """One more."""
        self.detection, self.last = detection, max(self.last, seen.at)
        self.severity = max(self.severity, detection.severity, key=SEVERITIES.index)
        self.events += seen.number
        if len(self.first_seen) < KEPT:
            self.first_seen.append(seen)
        else:
            self.last_seen.append(seen)


class Verdict:
    """Has the detectors look at observations, in the order of their times. An attack that is quiet for so long is over."""

    def __init__(self, detectors: Sequence[Detector], counters: Counters, quiet: timedelta) -> None:
        self._detectors, self._counters, self._quiet = detectors, counters, quiet
        self._current: dict[tuple[str, str], Attack] = {}
        self.attacks: list[Attack] = []
        self.not_kept = 0

    def observe(self, observations: Iterable[Observation]) -> None:
        """Look at these."""
        for seen in observations:
            for detection, _ in recognise([seen], self._detectors, self._counters):
                self._note(detection, seen)

    def _note(self, detection: Detection, seen: Observation) -> None:
        key = (detection.kind, detection.subject)
        attack = self._current.get(key)
        if attack is None or seen.at - attack.last > self._quiet:
            if len(self.attacks) >= MAX_ATTACKS:
                self.not_kept += 1
                return
            attack = self._current[key] = Attack(detection, _start(detection, seen), seen.at)
            self.attacks.append(attack)
            attack.events = int(detection.numbers.get("attempts", seen.number)) - seen.number
        attack.add(detection, seen)


def _start(detection: Detection, seen: Observation) -> datetime:
    """When it began: before it was recognised, where the detector says so."""
    stated = detection.numbers.get("first_failure")
    try:
        return min(seen.at, datetime.fromisoformat(str(stated))) if stated else seen.at
    except (TypeError, ValueError):
        return seen.at
