"""What counters promise, run on each of them: in the database, in Redis, and those of plain Python that the detectors' tests use."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from events.stats import stats
from events.types import utcnow
from security.conf import redis_url
from security.counters import counters as chosen_counters
from security.counters import database
from security.counters.database import DatabaseCounters, forget_expired
from security.counters.memory import MemoryCounters
from security.counters.redis import RedisCounters
from security.detection import Counters, Hit
from security.models import Counter
from tests.support.databases import base_environment
from tests.support.remote import DjangoProcess
from tests.support.services import OwnRedis
from tests.support.together import run_together

pytestmark = pytest.mark.django_db(transaction=True)

WINDOW = timedelta(seconds=300)
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def prefix(redis_url: str) -> Iterator[str]:
    """What this test's keys in Redis begin with."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    yield prefix
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{{{prefix}}}:*"):
            client.delete(key)


@pytest.fixture(params=["database", "redis", "memory"])
def counters(request: pytest.FixtureRequest) -> Iterator[Counters]:
    if request.param == "database":
        yield DatabaseCounters()
    elif request.param == "memory":
        yield MemoryCounters(utcnow)
    else:
        made = RedisCounters(request.getfixturevalue("redis_url"), request.getfixturevalue("prefix"), MemoryCounters(utcnow))
        yield made
        made.close()


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


def hit(member: str = "", key: str = "a", limit: int = 5, window: timedelta = WINDOW, **more: Any) -> Hit:
    return Hit(key, window, limit, member, **more)


@pytest.mark.parametrize(
    ("moments", "number"),
    [
        ([0], 1),
        ([0, 75, 150, 225, 299], 5),
        ([0, 75, 150, 225, 300], 4),
        ([0, 0, 0], 3),
        ([1, 2, 3, 4, 0], 5),
        ([305, 306, 307, 4], 3),
        ([*range(100)], 5),
        ([0, 0.000001, 300], 2),
    ],
    ids=str,
)
def test_what_is_in_the_window_that_ends_with_the_newest_counts(counters: Counters, moments: list[float], number: int) -> None:
    for moment in moments:
        (count,) = counters.count([hit()], second(moment))
    assert count.number == number


def test_the_first_and_the_last_of_the_number_are_told_to_the_microsecond(counters: Counters) -> None:
    for moment in (0.000001, 7.123457, 9.999999):
        (count,) = counters.count([hit(limit=2)], second(moment))
    assert (count.first, count.last) == (second(7.123457), second(9.999999))


def test_members_are_told_apart_however_often_one_of_them_comes(counters: Counters) -> None:
    for n, member in enumerate(["a", "b", "c", *["d"] * 50]):
        (count,) = counters.count([hit(member)], second(n))
    assert (count.number, count.members) == (5, 4)
    for n, member in enumerate("efghi"):
        (count,) = counters.count([hit(member)], second(60 + n))
    assert (count.number, count.members) == (5, 5)


def test_a_hit_without_a_member_leaves_the_members_of_others(counters: Counters) -> None:
    for member in "abc":
        counters.count([hit(member, limit=3)], START)
    assert counters.count([hit(limit=3, times=3)], second(1))[0][:2] == (3, 3)


def test_plain_hits_are_counted_like_others(counters: Counters) -> None:
    hits = [hit(key=key, limit=3, plain=True) for key in "ab"]
    for n in range(4):
        counts = counters.count(hits, second(n))
    assert counts[0] == counts[1] == (3, 1, second(1), second(3))
    counters.take_back(hits[:1], second(3))
    looks = [one._replace(only_look=True) for one in hits]
    assert [count.number for count in counters.count(looks, second(4))] == [2, 3]


def test_each_key_is_counted_for_itself(counters: Counters) -> None:
    counters.count([hit(key="a"), hit(key="b")], START)
    counts = counters.count([hit(key="b"), hit(key="c"), hit(key="a")], START)
    assert [count.number for count in counts] == [2, 1, 2]


def test_many_are_counted_at_once(counters: Counters) -> None:
    assert counters.count([hit("a", limit=100, times=7)], START)[0][:2] == (7, 1)
    assert counters.count([hit("b", limit=100, times=1_000_000)], START)[0][:2] == (100, 2)


def test_each_hit_is_told_how_many_there_are_when_all_are_counted(counters: Counters) -> None:
    hits = [hit(str(n), limit=100, times=n) for n in range(1, 51)]
    counts = counters.count([*hits, hit(key="b", times=2), hit(only_look=True, limit=100)], START)
    assert {count[:2] for count in [*counts[:50], counts[51]]} == {(100, 50)}
    assert counts[50][:2] == (2, 1)
    (count,) = counters.count([hit("51", limit=100)], second(1))
    assert count[:2] == (100, 51), "the newest of each member is remembered, whatever comes in between"


def test_looking_adds_nothing(counters: Counters) -> None:
    look = hit(only_look=True)
    assert counters.count([look], START)[0][:2] == (0, 0)
    counters.count([hit()], START)
    assert [counters.count([look], second(n))[0].number for n in (0, 1, 299, 300)] == [1, 1, 1, 0]
    assert counters.count([hit(), look, look._replace(window=timedelta(seconds=1))], second(10))[1:] == counters.count(
        [look, look._replace(window=timedelta(seconds=1))], second(10)
    )


def test_nothing_to_count_is_nothing(counters: Counters) -> None:
    assert counters.count([], START) == []
    counters.take_back([], START)
    counters.forget([])


def test_a_moment_in_the_future_counts_as_now(counters: Counters) -> None:
    counters.count([hit()], utcnow() + timedelta(days=365))
    (count,) = counters.count([hit()], utcnow())
    assert count.number == 2
    assert count.last is not None
    assert count.last <= utcnow()


def test_what_is_taken_back_does_not_count(counters: Counters) -> None:
    hits = [hit("x", key="a"), hit(key="b")]
    for n in range(4):
        counters.count(hits, second(n))
    counters.take_back(hits, second(2))
    counters.take_back([hit("y", key="a"), hit(key="never")], second(1))
    looks = [one._replace(only_look=True) for one in hits]
    assert [count[:2] for count in counters.count(looks, second(4))] == [(3, 1), (3, 1)]


def test_what_is_forgotten_does_not_count(counters: Counters) -> None:
    counters.count([hit(key="a"), hit(key="b")], START)
    counters.forget(["a", "never"])
    assert [count.number for count in counters.count([hit(key="a"), hit(key="b")], START)] == [1, 2]


def test_any_text_can_be_a_member(counters: Counters) -> None:
    for n, member in enumerate(["", "ü☃", "\\", "'; DROP TABLE x --", '"}]', "\u2028", "%s"]):
        (count,) = counters.count([hit(member, limit=10, key="'% \" ☃")], second(n))
    assert count.members == 7


def test_threads_that_count_at_once_each_see_another_number(counters: Counters) -> None:
    keys, seen = ["a", "b", "c"], []

    def work(n: int) -> None:
        hits = [hit(str(n), key=key, limit=100) for key in (keys if n % 2 else keys[::-1])]
        seen.extend(max(count.number for count in counters.count(hits, utcnow())) for _ in range(3))

    run_together(8, work)
    assert sorted(seen) == [*range(1, 25)]


# Real processes

ATTEMPTS = """
import threading
from datetime import timedelta
from django.db import connection
from events.types import utcnow
from security.counters import counters
from security.detection import Hit
hits = [Hit("pair", timedelta(seconds=300), 6, only_look=False), Hit("account", timedelta(seconds=300), 200, str(process))]
numbers = []
def attempt():
    numbers.append([count.number for count in counters().count(hits, utcnow())])
    connection.close()
threads = [threading.Thread(target=attempt) for _ in range(25)]
for thread in threads: thread.start()
for thread in threads: thread.join()
result = numbers
"""


@pytest.mark.parametrize("where", ["database", "redis"])
def test_a_limit_of_five_lets_five_of_a_hundred_through_in_four_processes(
    where: str, databases: Any, redis_url: str, prefix: str
) -> None:
    url, answers = databases.create(), []
    env = base_environment() | {"DATABASE_URL": url, "SECURITY_COUNTERS": where}
    env |= {"SECURITY_REDIS_URL": redis_url, "SECURITY_REDIS_PREFIX": prefix}
    processes = [DjangoProcess(env) for _ in range(4)]
    asked = [
        threading.Thread(target=lambda process=process, n=n: answers.extend(process.run(ATTEMPTS, process=n)))
        for n, process in enumerate(processes)
    ]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join(120)
    for process in processes:
        process.stop()
    databases.drop(url)
    assert len([pair for pair, _ in answers if pair <= 5]) == 5
    assert sorted(account for _, account in answers) == [*range(1, 101)]


# The same, in two languages

# Under the key "plain" no hit has a member; under the others, some.
LIMITS, TIMES = st.sampled_from([2, 3]), st.integers(1, 3)
SOME_HITS = st.tuples(st.sampled_from("ab"), st.sampled_from(["", "x", "y", "z"]), st.booleans(), LIMITS, TIMES) | st.tuples(
    st.just("plain"), st.just(""), st.booleans(), st.just(3), TIMES
)


@settings(max_examples=40, deadline=None)
@given(calls=st.lists(st.tuples(st.lists(SOME_HITS, max_size=5), st.integers(0, 12), st.booleans()), max_size=25))
def test_redis_and_the_database_count_as_plain_python_does(redis_url: str, calls: list[Any]) -> None:
    name = uuid.uuid4().hex
    plain, others = MemoryCounters(utcnow), [DatabaseCounters(), RedisCounters(redis_url, f"test-{name}", MemoryCounters(utcnow))]
    for parts, moment, takes_back in calls:
        hits = [
            hit(member, f"{name}/{key}", limit, timedelta(seconds=5), only_look=look, plain=key == "plain", times=times)
            for key, member, look, limit, times in parts
        ]
        expected = plain.count(hits, second(moment))
        assert [other.count(hits, second(moment)) for other in others] == [expected] * 2
        if takes_back:
            for one in (plain, *others):
                one.take_back(hits, second(moment))
    for other in others:
        other.forget([f"{name}/{key}" for key in ("a", "b", "plain")])
    others[1].close()


# The database


def test_counting_takes_an_upsert_and_an_update(django_assert_max_num_queries: Any) -> None:
    hits = [hit(key=str(n)) for n in range(8)]
    DatabaseCounters().count(hits, utcnow())
    with django_assert_max_num_queries(4):  # and begin and commit
        DatabaseCounters().count(hits, utcnow())


def test_looking_takes_one_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        DatabaseCounters().count([hit(key=str(n), only_look=True) for n in range(8)], utcnow())


def test_a_key_takes_bounded_room() -> None:
    for n in range(300):
        DatabaseCounters().count([hit(str(n % 50), limit=10)], second(n / 10))
    assert len(Counter.objects.get().hits) <= 20


def test_what_has_expired_is_deleted_some_at_a_time_as_new_keys_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CLEANED_AT_ONCE", 10)
    old = utcnow() - timedelta(seconds=1)
    Counter.objects.bulk_create(Counter(key=f"old-{n}", hits=[[0.0, ""]], expires_at=old) for n in range(25))
    for left in (15, 5, 0, 0):
        DatabaseCounters().count([hit(key=f"new-{left}")], utcnow())
        assert Counter.objects.filter(key__startswith="old").count() == left
    assert Counter.objects.filter(key__startswith="new").count() == 3


def test_what_was_told_late_is_no_rubbish() -> None:
    DatabaseCounters().count([hit()], START)
    assert forget_expired(utcnow()) == 0
    assert forget_expired(utcnow() + WINDOW + timedelta(seconds=1)) == 1


# Redis


def test_keys_in_redis_expire(redis_url: str, prefix: str) -> None:
    made = RedisCounters(redis_url, prefix, MemoryCounters(utcnow))
    made.count([hit(key="a"), hit(key="b", only_look=True)], START)
    made.count([hit(key="a", window=timedelta(seconds=5))], START)
    with redis.Redis.from_url(redis_url) as client:
        assert 290_000 < client.pttl(f"{{{prefix}}}:a") <= 300_000
        assert not client.exists(f"{{{prefix}}}:b")
    made.close()


def test_while_redis_is_away_the_database_counts_and_the_log_says_so_once(
    own_redis: OwnRedis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = RedisCounters(own_redis.url, "test", DatabaseCounters())
    monkeypatch.setattr("security.counters.redis.PAUSE", 0.0)
    assert made.count([hit()], utcnow())[0].number == 1
    own_redis.kill()
    assert [made.count([hit()], utcnow())[0].number for _ in range(3)] == [1, 2, 3]
    assert [record.levelname for record in caplog.records if record.name == "security.counters"] == ["ERROR"]
    assert stats.snapshot()["counter_errors"] == 3
    own_redis.start()
    assert made.count([hit(key="b")], utcnow())[0].number == 1
    assert Counter.objects.filter(key="b").count() == 0
    made.close()


def test_a_redis_that_is_away_is_not_asked_again_at_once(own_redis: OwnRedis) -> None:
    made = RedisCounters(own_redis.url, "test", MemoryCounters(utcnow))
    own_redis.kill()
    for _ in range(3):
        made.count([hit()], utcnow())
    assert stats.snapshot()["counter_errors"] == 1
    made.close()


# Which of them


@pytest.mark.parametrize(
    ("configured", "layer", "url"),
    [
        ({}, {"BACKEND": "channels.layers.InMemoryChannelLayer"}, None),
        ({}, {"BACKEND": "channels_redis.core.RedisChannelLayer"}, "redis://localhost:6379"),
        (
            {},
            {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": ["redis://a:1/2"]}},
            "redis://a:1/2",
        ),
        ({}, {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [("a", 1)]}}, "redis://a:1"),
        (
            {},
            {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [{"address": "redis://a:1"}]}},
            "redis://a:1",
        ),
        ({}, {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [{"sentinels": []}]}}, None),
        ({"REDIS_URL": "redis://b"}, {"BACKEND": "channels_redis.core.RedisChannelLayer"}, "redis://b"),
        ({"COUNTERS": "database"}, {"BACKEND": "channels_redis.core.RedisChannelLayer"}, "redis://localhost:6379"),
    ],
)
def test_counters_are_in_redis_where_there_is_one(
    settings: Any, configured: dict[str, str], layer: dict[str, Any], url: str | None
) -> None:
    settings.SECURITY, settings.CHANNEL_LAYERS = configured, {"default": layer}
    assert redis_url() == url
    in_redis = url is not None and configured.get("COUNTERS") != "database"
    assert isinstance(chosen_counters(), RedisCounters) is in_redis
