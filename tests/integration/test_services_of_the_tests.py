"""What the tests' own services promise: they may be stopped, killed, frozen and started again on the same port."""

from __future__ import annotations

import psycopg
import pytest
import redis

from tests.support.services import OwnPostgreSQL, OwnRedis

pytestmark = pytest.mark.once


def test_an_own_redis_stops_starts_again_and_freezes(own_redis: OwnRedis) -> None:
    client = redis.Redis.from_url(own_redis.url, socket_timeout=0.5)
    assert client.ping()
    own_redis.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    own_redis.start()
    assert client.ping()
    own_redis.freeze()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    own_redis.thaw()
    assert client.ping()
    client.close()


def test_an_own_postgresql_keeps_its_data_over_a_crash(own_postgresql: OwnPostgreSQL) -> None:
    with psycopg.connect(own_postgresql.url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    own_postgresql.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_postgresql.url, connect_timeout=2)
    own_postgresql.start()
    with psycopg.connect(own_postgresql.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
