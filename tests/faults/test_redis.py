"""Redis only makes things fast: while it is away, slow, empty or loses messages, clients keep up by the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.support.faults.scene import FOUND_WITHIN, IS_FULL, Scene
from tests.support.server import Servers
from tests.support.services import OwnRedis

for_the_full_run = pytest.mark.skipif(not IS_FULL, reason="for the full run")


@pytest.fixture(scope="module")
def own(own_redis_factory: Callable[[], OwnRedis]) -> OwnRedis:
    return own_redis_factory()


@pytest.fixture(scope="module")
def drop_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doorbell") / "drop"


@pytest.fixture(scope="module")
def scene(serve_module: Servers, own: OwnRedis, drop_file: Path) -> Scene:
    lossy = {"DJANGO_SETTINGS_MODULE": "tests.support.faults.lossy", "DROP_FILE": drop_file}
    return Scene(serve_module, redis=own.url, **lossy)


async def test_doorbell_messages_are_dropped(scene: Scene, drop_file: Path) -> None:
    async with scene.flow("doorbell messages dropped") as flow:
        drop_file.touch()
        await flow.keeps_up()
        drop_file.unlink()
        await flow.keeps_up()
        drop_file.touch()  # the last message is among the lost: none after it shows the gap
        flow.within = FOUND_WITHIN
    drop_file.unlink()
    flow.assert_unbroken()


@pytest.mark.parametrize("seconds", [1, pytest.param(15, marks=for_the_full_run)])
async def test_redis_is_stopped(scene: Scene, own: OwnRedis, seconds: float) -> None:
    async with scene.flow(f"Redis stopped for {seconds} s") as flow:
        await asyncio.to_thread(own.kill)
        await flow.keeps_up()
        await asyncio.sleep(seconds)
        await flow.keeps_up()
        await asyncio.to_thread(own.start)
        flow.over()
    flow.assert_unbroken()


@for_the_full_run
async def test_redis_answers_nothing(scene: Scene, own: OwnRedis) -> None:
    async with scene.flow("Redis frozen") as flow:
        own.freeze()
        await flow.keeps_up()
        await asyncio.sleep(6)  # longer than the doorbell waits
        own.thaw()
        flow.over()
    flow.assert_unbroken()


async def test_redis_is_restarted_empty(scene: Scene, own: OwnRedis) -> None:
    async with scene.flow("Redis restarted empty") as flow:
        with redis.Redis.from_url(own.url) as client:
            client.flushall()
        await asyncio.to_thread(own.kill)
        await asyncio.to_thread(own.start)
        flow.over()
    flow.assert_unbroken()


async def test_redis_is_gone_for_good(scene: Scene, own: OwnRedis) -> None:
    async with scene.flow("Redis gone for good") as flow:
        await asyncio.to_thread(own.kill)
        await flow.keeps_up()
        flow.within = FOUND_WITHIN
    flow.assert_unbroken()
