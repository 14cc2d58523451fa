"""Whose a stream is: found out by looking only, and while others' access changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.sessions.models import Session

from events import access_changes
from events.access import HUBS, audiences_of
from events.delivery.authentication import Credential, Identity
from events.delivery.hub import Busy, Hub
from events.models import JournalEntry
from tests.support.seed import new_session

real_transactions = pytest.mark.django_db(transaction=True)
NOBODY = frozenset[str]()


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    await hub.start()
    yield hub
    await hub.stop()


def session_of(name: str) -> tuple[User, Credential]:
    user = User.objects.create_user(name)
    return user, Credential(new_session(user.pk), None)


@pytest.mark.django_db
def test_a_session_of_an_older_secret_key_is_good_and_stays_as_it_is(settings) -> None:
    user, credential = session_of("alice")
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "a new one"
    for _ in range(2):
        assert credential.identify().user_id == str(user.pk)
    assert list(Session.objects.values_list("session_key", flat=True)) == [credential.session_key]


@pytest.mark.django_db
def test_a_session_whose_password_was_changed_is_nobodys_and_stays_for_django_to_end() -> None:
    user, credential = session_of("alice")
    user.set_password("another")
    user.save()
    assert credential.identify().audiences == NOBODY
    assert Session.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "credential", [Credential(None, None), Credential("none", None), Credential("a\0b", None), Credential(None, "x\0")]
)
def test_what_is_no_credential_is_nobodys(credential: Credential) -> None:
    assert credential.identify().audiences == NOBODY


def test_a_user_model_may_lack_what_djangos_has() -> None:
    class Member(AbstractBaseUser):
        class Meta:
            app_label = "tests"

    assert audiences_of(Member(pk=7)) == {"all", "user:7"}


@real_transactions
async def test_changes_of_others_keep_nobody_from_opening_a_stream(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    user, credential = await sync_to_async(session_of)("alice")
    concerned = str(user.pk)
    changing: list[str | None] = ["another"]
    loop = asyncio.get_running_loop()

    def identify(self: Credential) -> Identity:
        loop.call_soon_threadsafe(note, changing[0])
        return Identity(concerned, "alice", frozenset({"all"}))

    def note(user_id: str | None) -> None:
        hub._watch.changes += 1
        hub._watch._recent.append(user_id)

    monkeypatch.setattr(Credential, "identify", identify)
    assert (await hub.identify(credential)).user_id == concerned
    changing[0] = None  # permissions, which she has none of
    assert (await hub.identify(credential)).user_id == concerned
    changing[0] = concerned
    with pytest.raises(Busy):
        await hub.identify(credential)


@pytest.fixture
def proxy() -> Iterator[type[User]]:
    """A proxy of the user model, there for this test only."""

    class Person(User):
        class Meta:
            proxy = True
            app_label = "auth"

    access_changes.connect()
    yield Person
    del apps.all_models["auth"]["person"]
    apps.clear_cache()


@pytest.mark.django_db
def test_a_user_that_is_saved_or_deleted_as_a_proxy_is_told_too(proxy: type[User]) -> None:
    person = proxy.objects.create(username="alice")
    person.is_active = False
    person.save()
    person.delete()
    assert JournalEntry.objects.filter(audience=HUBS).count() == 2
