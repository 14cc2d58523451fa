"""Labelled traffic: no planted attack is missed, and what people do is no incident. Read from logs, told as events, and done by real
requests."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from security.conf import settings as security_settings
from security.counters.memory import MemoryCounters
from security.detection import Observation
from security.detectors import DETECTORS
from security.importing.frames import Clock
from security.importing.happenings import Parser
from security.importing.importer import Importer, observation_of
from security.importing.nginx import Nginx
from security.importing.openssh import OpenSSH
from security.importing.reading import lines, open_log
from security.importing.verdict import Attack, Verdict
from security.models import Incident
from security.monitor import observations_of
from tests.support import acted, traffic
from tests.support.traffic import Act, Planted

SEEDS = range(5)
LATEST = traffic.DAY + timedelta(days=2)


def judged(observations: Iterable[Observation]) -> list[Attack]:
    verdict = Verdict(DETECTORS, MemoryCounters(), timedelta(seconds=security_settings().INCIDENT_QUIET))
    verdict.observe(observations)
    return verdict.attacks


def read(path: Path, parser: Parser) -> Iterator[Observation]:
    with open_log(str(path)) as (file, _, _):
        importer = Importer(parser, "web1", map_accounts=False)
        for batch in importer.batches(lines(file)):
            yield from map(observation_of, batch)
        assert importer.tally.bad == 0


def from_openssh(acts: Iterable[Act], directory: Path) -> Iterator[Observation]:
    path = directory / "auth.log"
    path.write_text("".join(f"{line}\n" for line in traffic.openssh_lines(acts)))
    return read(path, OpenSSH(Clock(UTC, LATEST)))


def from_openssh_with_full_times(acts: Iterable[Act], directory: Path) -> Iterator[Observation]:
    path = directory / "auth.log.1.gz"
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in traffic.openssh_lines(acts, classic=False)).encode()))
    return read(path, OpenSSH(Clock(UTC, LATEST)))


def from_nginx(acts: Iterable[Act], directory: Path) -> Iterator[Observation]:
    path = directory / "access.log"
    path.write_text("".join(f"{line}\n" for line in traffic.nginx_lines(acts)))
    return read(path, Nginx([traffic.LOGIN_PATH]))


def from_events(acts: Iterable[Act], directory: Path) -> Iterator[Observation]:
    return (seen for event in traffic.as_events(acts) for seen in observations_of(event))


FORMS: list[Any] = [
    pytest.param(from_events, [*traffic.LOGINS, *traffic.REQUESTS, *traffic.OTHERS], id="events"),
    pytest.param(from_openssh, traffic.LOGINS, id="openssh"),
    pytest.param(from_openssh_with_full_times, traffic.LOGINS, id="openssh-gz"),
    # Who was to be signed in is not in such a log: what shows in names only can't be found there.
    pytest.param(from_nginx, [traffic.brute_force, traffic.slow_brute_force, *traffic.REQUESTS], id="nginx"),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("read_as", "makers"), FORMS)
def test_what_people_do_is_no_incident(read_as: Any, makers: Any, seed: int, tmp_path: Path) -> None:
    assert [str(attack.detection) for attack in judged(read_as(traffic.benign(seed), tmp_path))] == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("read_as", "makers"), FORMS)
def test_no_planted_attack_is_missed_and_nothing_else_is_found(read_as: Any, makers: Any, seed: int, tmp_path: Path) -> None:
    acts, planted = traffic.plant(seed, makers)
    attacks = judged(read_as(acts, tmp_path))
    for expected in planted:
        found = {attack.detection.kind for attack in attacks if concerns(attack, expected)}
        assert expected.kinds & found or not expected.kinds, f"{expected.name} was missed"
        assert expected.kinds or not found, f"{expected.name} was found: say so"
    assert [str(attack.detection) for attack in attacks if not any(concerns(attack, one) for one in planted)] == []


@pytest.mark.parametrize(("read_as", "makers"), FORMS)
def test_attacks_are_told_with_the_times_they_happened(read_as: Any, makers: Any, tmp_path: Path) -> None:
    acts, planted = traffic.plant(0, [traffic.brute_force])
    (attack,) = judged(read_as(acts, tmp_path))
    times = [act.at for act in planted[0].acts]
    assert abs(attack.first - times[0]) < timedelta(seconds=1)
    assert abs(attack.last - times[-1]) < timedelta(seconds=1)
    assert attack.events == len(times)


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.support.refusing")
def test_the_same_holds_of_real_requests_and_the_incidents_that_they_open(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SECURITY = settings.SECURITY | {"FLOOD_SUMMARY_INTERVAL": 60}  # the site says itself when they are told
    settings.LOGIN_REDIRECT_URL = "/fine/"
    acted.use_clock(monkeypatch)
    _, planted = traffic.plant(0, [*traffic.LOGINS, *traffic.REQUESTS, *traffic.OTHERS])
    site = acted.Site(sorted([*acted.some_of(traffic.benign(0)), *(act for attack in planted for act in attack.acts)]))
    site.play()
    incidents = [
        (incident.kind, {word.partition("@")[0] for word in incident.subject.split()}) for incident in Incident.objects.all()
    ]
    concerned = [(attack, site.subjects(attack)) for attack in planted]
    for attack, subjects in concerned:
        found = {kind for kind, words in incidents if words & subjects}
        assert attack.kinds & found or not attack.kinds, f"{attack.name} was missed"
        assert attack.kinds or not found, f"{attack.name} was found: say so"
    assert [found for found in incidents if not any(found[1] & subjects for _, subjects in concerned)] == []


def concerns(attack: Attack, planted: Planted) -> bool:
    """Whether the attack was recognised in what was planted: its subject is one of those concerned."""
    words = {word.partition("@")[0] for word in attack.detection.subject.split()}
    return not words.isdisjoint(planted.subjects)
