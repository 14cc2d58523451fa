"""From observations to detections: everything is counted at once, then each detector judges its counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from events.handlers import call_isolated
from security.detection import Count, Counters, Detection, Detector, Hit, Observation
from security.models import SEVERITIES

# What each detector asks to count of an observation.
Asked = list[tuple[Detector, Sequence[Hit]]]


def recognise(
    parts: Sequence[Observation], detectors: Iterable[Detector], counters: Counters
) -> list[tuple[Detection, Observation]]:
    """What the detectors make of one event, whose parts are counted in one step: one detection a kind and subject, the most severe, with what
    was seen of it, whose number is that of all parts that tell of it. A detector that fails stops no other. Raises what the counters raise."""
    wanted = [(seen, [(each, call_isolated(each.hits, seen=seen) or ()) for each in detectors]) for seen in parts]
    counts = _count(wanted, counters)
    found: dict[tuple[str, str], tuple[Detection, list[Observation]]] = {}
    for seen, asked in wanted:
        for detector, hits in asked:
            detection = call_isolated(detector.judge, seen=seen, counts=[counts[hit] for hit in hits]) if hits else None
            if detection is not None:
                _add(found, detection, seen)
    return [(detection, _as_one(told)) for detection, told in found.values()]


def _count(wanted: Sequence[tuple[Observation, Asked]], counters: Counters) -> dict[Hit, Count]:
    """The counts of all hits. What several detectors count alike of a part is counted once; what several parts count alike, together."""
    times = Counter[Hit]()
    for seen, asked in wanted:
        for hit in {hit: None for _, hits in asked for hit in hits}:
            times[hit] += seen.number
    if not times:
        return {}
    hits = [hit._replace(times=number) for hit, number in times.items()]
    return dict(zip(times, counters.count(hits, wanted[0][0].at), strict=True))


def _add(found: dict[tuple[str, str], tuple[Detection, list[Observation]]], detection: Detection, seen: Observation) -> None:
    before, told = found.setdefault((detection.kind, detection.subject), (detection, []))
    if not told or told[-1] is not seen:  # two detectors may say the same of it
        told.append(seen)
    worst = max(before, detection, key=lambda one: SEVERITIES.index(one.severity))
    found[detection.kind, detection.subject] = worst, told


def _as_one(parts: Sequence[Observation]) -> Observation:
    return replace(parts[0], number=sum(part.number for part in parts))
