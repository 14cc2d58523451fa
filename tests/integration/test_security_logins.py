"""Signing in, out, and failing to, told by Django's signals."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import aauthenticate, authenticate, login
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.test import AsyncClient, Client, RequestFactory
from django.urls import reverse

from audit.models import AuditEntry
from events.models import JournalEntry
from events.stats import stats
from events.testing import wait_published
from security import sources
from security.accounts import username_hash
from tests.support.raw import OTHER_CHARSETS, multipart

pytestmark = pytest.mark.django_db
# For what is about commits, or runs in another thread: its test has no transaction around it.
commits = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password=PASSWORD)


def told() -> list[str]:
    """The types of what was told since the account was made."""
    return list(AuditEntry.objects.exclude(event_type="account.created").order_by("id").values_list("event_type", flat=True))


@pytest.fixture
def client() -> Client:
    return Client(REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="Probe/1")


def attempt(client: Client, username: str, password: str = "wrong") -> int:
    return client.post(reverse("login"), {"username": username, "password": password}).status_code


def entry(event_type: str) -> AuditEntry:
    return AuditEntry.objects.get(event_type=event_type)


def everything_stored() -> str:
    return " ".join(
        [f"{row.body}{row.private}" for row in JournalEntry.objects.all()]
        + [f"{row.data}{row.metadata}{row.actor_label}" for row in AuditEntry.objects.all()]
    )


@commits
def test_a_login_says_who_and_from_where(client: Client, alice: User) -> None:
    assert attempt(client, "alice", PASSWORD) == 302
    found = entry("auth.login_success")
    assert (found.user_id, found.actor_label, found.outcome, found.priority) == (str(alice.pk), "alice", "success", "normal")
    assert (found.ip_address, found.user_agent) == ("203.0.113.9", "Probe/1")
    assert found.session_id
    assert client.session.session_key not in everything_stored()


def test_a_logout_says_who(client: Client, alice: User) -> None:
    client.force_login(alice)
    client.post(reverse("logout"))
    found = entry("auth.logout")
    assert (found.user_id, found.actor_label, found.outcome) == (str(alice.pk), "alice", "success")
    assert found.ip_address == "203.0.113.9"


def test_a_logout_of_nobody_is_no_event(client: Client) -> None:
    client.post(reverse("logout"))
    assert not JournalEntry.objects.exists()


@commits
def test_a_failure_for_an_account_names_it_and_is_urgent(client: Client, alice: User) -> None:
    assert attempt(client, "alice") == 200
    found = entry("auth.login_failure")
    assert (found.user_id, found.outcome, found.priority) == (str(alice.pk), "failure", "high")
    assert (found.data, found.ip_address) == ({"username": "alice"}, "203.0.113.9")
    assert found.actor_label == ""
    assert JournalEntry.objects.filter(event_type="auth.login_failure", category="realtime").count() == 1


def test_what_is_no_username_is_kept_only_as_a_hash(client: Client) -> None:
    attempt(client, "my-secret-password", "another-secret")
    found = entry("auth.login_failure")
    assert (found.user_id, found.data) == (None, {"username_hash": username_hash("my-secret-password")})
    assert "secret" not in everything_stored()


def test_no_password_gets_into_an_event(client: Client, alice: User) -> None:
    attempt(client, "alice", "wrong-but-nearly")
    attempt(client, "alice", PASSWORD)
    assert "wrong-but-nearly" not in everything_stored()
    assert PASSWORD not in everything_stored()


HOSTILE = [
    "\0", "alice\0", "x" * 100_000, "\u202ealice", "<script>alert(1)</script>", "' OR 1=1 --", "\ud800", "a\r\nSet-Cookie: b=c",
    "é" * 5_000, "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
]  # fmt: skip


@pytest.mark.parametrize("username", HOSTILE, ids=lambda name: ascii(name)[:20])
def test_a_hostile_username_is_told_as_a_failure_like_any_other(username: str, settings: Any) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    user_login_failed.send(sender=__name__, credentials={"username": username, "password": "***"}, request=None)
    assert entry("auth.login_failure").data == {"username_hash": username_hash(username)}
    assert stats.snapshot()["errors"] == 0


@commits
@pytest.mark.parametrize("username", [name for name in HOSTILE if "\ud800" not in name], ids=lambda name: ascii(name)[:20])
def test_a_hostile_username_in_a_form_is_no_server_error(client: Client, username: str, settings: Any) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    assert attempt(client, username) == 200
    assert stats.snapshot()["errors"] == 0


async def post_multipart(path: str, charset: str, is_async: bool = False, **values: bytes) -> int:
    """The status of the answer to a form as no browser sends it: one that names a charset."""
    body, content_type = multipart(values, charset)
    if is_async:
        return (await AsyncClient(raise_request_exception=False).generic("POST", path, body, content_type)).status_code
    return (await sync_to_async(Client(raise_request_exception=False).generic)("POST", path, body, content_type)).status_code


@commits
@pytest.mark.parametrize("is_async", [False, True], ids=["WSGI", "ASGI"])
@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
@pytest.mark.parametrize("charset", [*OTHER_CHARSETS, "no-such-charset"])
async def test_a_form_in_another_charset_is_refused_and_told(charset: str, path: str, is_async: bool) -> None:
    """Those of which Python makes no text, or halves of characters (UTF-7's `+2AA-`), too."""
    assert await post_multipart(path, charset, is_async, username=b"+2AA-", password=b"wrong") == 400
    assert await sync_to_async(told)() == ["request.suspicious"]
    found = await sync_to_async(entry)("request.suspicious")
    assert (found.data["kind"], found.ip_address) == ("SuspiciousOperation", "127.0.0.1")
    assert "charset" in found.data["reason"]
    assert stats.snapshot()["errors"] == stats.snapshot()["handler_errors"] == 0


@commits
@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
async def test_a_form_in_another_charset_is_refused_where_errors_are_shown(path: str, settings: Any) -> None:
    """The page that shows an error shows the form too, and reads it for that."""
    settings.DEBUG = True
    assert await post_multipart(path, "base64", username=b"alice", password=b"wrong") == 400


@commits
@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "u8"])
async def test_a_form_in_utf_8_by_any_name_is_read(charset: str) -> None:
    await User.objects.acreate_user("zoë", password=PASSWORD)
    assert await post_multipart(reverse("login"), charset, username="zoë".encode(), password=PASSWORD.encode()) == 302


@commits
async def test_a_charset_that_the_project_chose_is_read(settings: Any) -> None:
    settings.MIDDLEWARE = [f"{__name__}.reads_latin_1", *settings.MIDDLEWARE]
    await User.objects.acreate_user("zoë", password=PASSWORD)
    assert await post_multipart(reverse("login"), "utf-7", username="zoë".encode("latin-1"), password=PASSWORD.encode()) == 302


def reads_latin_1(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        request.encoding = "latin-1"
        return get_response(request)

    return middleware


@commits
@pytest.mark.parametrize("username", ["\0", "\ud800"])
def test_a_name_that_no_database_takes_is_a_failure_where_no_form_looks_at_it(username: str) -> None:
    assert authenticate(username=username, password="wrong") is None
    assert entry("auth.login_failure").data == {"username_hash": username_hash(username)}


@pytest.mark.parametrize(
    "credentials", [{}, {"username": None}, {"username": 5}, {"username": ["a"]}, {"email": "a@example.org"}]
)
def test_credentials_of_any_form_are_told(credentials: dict[str, Any]) -> None:
    user_login_failed.send(sender=__name__, credentials=credentials, request=None)
    assert entry("auth.login_failure").outcome == "failure"


@commits
def test_signals_without_a_request_are_told(alice: User) -> None:
    assert authenticate(username="alice", password="wrong") is None
    user_logged_in.send(sender=User, request=None, user=alice)
    user_logged_out.send(sender=User, request=None, user=alice)
    entries = AuditEntry.objects.exclude(event_type="account.created").order_by("id")
    assert list(entries.values_list("event_type", "user_id", "ip_address")) == [
        ("auth.login_failure", str(alice.pk), None),
        ("auth.login_success", str(alice.pk), None),
        ("auth.logout", str(alice.pk), None),
    ]


def test_the_address_is_known_without_the_middleware_too(alice: User) -> None:
    request = RequestFactory().post("/", REMOTE_ADDR="203.0.113.9")
    authenticate(request, username="alice", password="wrong")
    assert entry("auth.login_failure").ip_address == "203.0.113.9"


@commits
async def test_async_sign_in_is_told() -> None:
    alice = await User.objects.acreate_user("alice", password=PASSWORD)
    assert await aauthenticate(username="alice", password="wrong") is None
    await AsyncClient().aforce_login(alice)
    assert await sync_to_async(told)() == ["auth.login_failure", "auth.login_success"]


def test_connecting_again_tells_nothing_twice(client: Client, alice: User) -> None:
    sources.connect()
    attempt(client, "alice")
    assert told() == ["auth.login_failure"]


@commits
def test_a_failure_in_a_request_that_is_rolled_back_is_kept(alice: User) -> None:
    with transaction.atomic():
        authenticate(username="alice", password="wrong")
        transaction.set_rollback(True)
    wait_published()
    assert entry("auth.login_failure").user_id == str(alice.pk)


@commits
def test_five_wrong_passwords_on_the_login_page_give_one_alert(client: Client, alice: User) -> None:
    for _ in range(7):
        attempt(client, "alice")
    wait_published()
    alert = entry("suspicious.brute_force")
    assert alert.data["keys"] == {"address": "203.0.113.9", "account": str(alice.pk)}
    assert (alert.priority, alert.user_id) == ("critical", str(alice.pk))


@commits
def test_five_passwords_typed_as_usernames_are_counted_by_the_address(client: Client) -> None:
    for n in range(5):
        attempt(client, f"password-{n}")
    wait_published()
    assert entry("suspicious.brute_force").data["keys"] == {"address": "203.0.113.9"}


def test_login_of_another_user_with_one_session_is_told_for_the_new_one(client: Client, alice: User, rf: RequestFactory) -> None:
    bob = User.objects.create_user("bob", password=PASSWORD)
    client.force_login(alice)
    request = rf.get("/")
    request.session, request.user = client.session, alice
    login(request, bob, backend="django.contrib.auth.backends.ModelBackend")
    assert AuditEntry.objects.order_by("-id").first().actor_label == "bob"
