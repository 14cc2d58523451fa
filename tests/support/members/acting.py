"""What is done in the project's own process: each function answers with JSON (`tests.support.remote`)."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, Final

from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_in
from django.core import checks, mail
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.test import AsyncClient, Client, override_settings
from django.urls import reverse
from rest_framework.authtoken.models import Token

from audit.models import AuditEntry
from events.access_changes import ACCESS_CHANGED
from events.delivery.routing import with_events
from events.models import JournalEntry
from events.stats import stats
from events.testing import captured_events, wait_published
from events.types import utcnow
from security.models import CoolOff, Incident
from security.sources.vocabulary import VOCABULARY
from tests.support.members.names import ADDRESS, EMAIL, OTHER, PASSWORD

_kept: dict[str, Any] = {}


def prepare() -> dict[str, Any]:
    """Make the tables. What the checks say, and whether the migrations are those of the models."""
    call_command("migrate", verbosity=0)
    call_command("makemigrations", "members", check=True, verbosity=0)
    return {"checks": [str(message) for message in checks.run_checks(databases=["default"]) if not message.is_silenced()]}


def begin() -> None:
    """As if nothing had been before."""
    get_user_model().objects.all().delete()
    CoolOff.objects.all().delete()
    Incident.objects.all().delete()
    wait_published()


def eve() -> Any:
    """The account that it is all about."""
    return get_user_model().objects.get(email=EMAIL)


def client(**options: Any) -> Client:
    """Who is somewhere."""
    return Client(REMOTE_ADDR=ADDRESS, raise_request_exception=False, **options)


def signed_in() -> Client:
    """Eve's."""
    made = client()
    made.force_login(eve(), "django.contrib.auth.backends.ModelBackend")
    return made


def change(**values: Any) -> None:
    """Save eve with these values."""
    user = eve()
    for name, value in values.items():
        setattr(user, name, value)
    user.save()


def change_address() -> None:
    """To another, and back."""
    user = eve()
    for address in (OTHER, EMAIL):
        user.email = address
        user.save()


def set_password() -> None:
    user = eve()
    user.set_password(PASSWORD)
    user.save()


def post(path: str, expected: int, **form: str) -> Any:
    """What a form is answered with."""
    answer = client().post(path, form)
    assert answer.status_code == expected, answer.status_code
    return answer


def reset() -> None:
    """By the link that was sent."""
    mail.outbox = []
    post("/reset/", 302, email=EMAIL)
    link = re.search(r"/reset/\S+/\S+/", str(mail.outbox[-1].body))
    assert link is not None
    visitor = client()
    form = visitor.get(link[0]).headers["Location"]
    assert visitor.post(form, {"new_password1": PASSWORD, "new_password2": PASSWORD}).status_code == 302


def make_token() -> None:
    _kept["key"] = Token.objects.create(user=eve()).key


def use_token(address: str) -> int:
    return Client(REMOTE_ADDR=address).get("/api/fine/", HTTP_AUTHORIZATION=f"Token {_kept['key']}").status_code


def use_token_from_two_places() -> None:
    for address in (ADDRESS, "198.51.100.7"):
        assert use_token(address) == 200
        wait_published()


def log_in(agent: str) -> None:
    answer = client(HTTP_USER_AGENT=agent).post("/login/", {"username": EMAIL, "password": PASSWORD})
    assert answer.status_code == 302


def log_in_from_two_devices() -> None:
    for agent in ("Firefox/1", "curl/8"):
        log_in(agent)
        wait_published()


async def stream(transport: str, key: str) -> Any:
    """The first answer to who shows the token."""
    application, headers = with_events(get_asgi_application()), [(b"authorization", f"Token {key}".encode())]
    if transport == "sse":
        connection: Any = HttpCommunicator(application, "GET", "/events/stream", headers=headers)
        await connection.send_input({"type": "http.request"})
        answer = (await connection.receive_output(timeout=10))["status"]
        await connection.send_input({"type": "http.disconnect"})
    else:
        connection = WebsocketCommunicator(application, "/ws/events/", headers)
        await connection.connect()
        answer = (await connection.receive_json_from(timeout=10))["stream"]
        await connection.send_input({"type": "websocket.disconnect", "code": 1000})
    await connection.wait(timeout=10)
    return answer


# What is done.
ACTS: Final[dict[str, Callable[[], Any]]] = {
    "create": lambda: get_user_model().objects.create_user(EMAIL, PASSWORD),
    "sign in": lambda: log_in("Firefox/1"),
    "sign in without a request": lambda: user_logged_in.send(sender=get_user_model(), request=None, user=eve()),
    "sign in from two devices": log_in_from_two_devices,
    "sign out": lambda: signed_in().post("/logout/"),
    "fail": lambda: post("/login/", 200, username=EMAIL, password="wrong"),
    "fail without a request": lambda: authenticate(username=EMAIL, password="wrong"),
    "fail by the field's name": lambda: authenticate(email=EMAIL, password="wrong"),
    "fail as nobody": lambda: post("/login/", 200, username="my-password", password="wrong"),
    "set the password": set_password,
    "reset the password": reset,
    "reset the password of nobody": lambda: post("/reset/", 302, email="nobody@example.org"),
    "change the address": change_address,
    "lock": lambda: change(is_locked=True),
    "unlock": lambda: change(is_locked=False),
    "make a token": make_token,
    "use the token from two places": use_token_from_two_places,
    "revoke the token": lambda: Token.objects.get().delete(),
    "use it after that": lambda: use_token(ADDRESS),
    "ask for what is refused": lambda: signed_in().get("/api/denied/"),
    "make and delete a group": lambda: Group.objects.create(name="editors").delete(),
    "promote": lambda: change(is_admin=True),
    "demote": lambda: change(is_admin=False),
    "deactivate": lambda: change(is_active=False),
    "reactivate": lambda: change(is_active=True),
    "delete": lambda: eve().delete(),
}


def told(act: str) -> list[dict[str, Any]]:
    """Do it. What the sources tell of it."""
    with captured_events() as events:
        ACTS[act]()
        wait_published()
    return [
        {"type": event.event_type, "user_id": event.user_id, "data": event.data, "metadata": event.metadata}
        for event in events
        if event.event_type in VOCABULARY
    ]


def errors() -> int:
    """What went wrong in telling."""
    counted = stats.snapshot()
    return int(counted["errors"] + counted["handler_errors"] + counted["hub_errors"])


@contextmanager
def enforcing() -> Any:
    """`ENFORCE` is on."""
    with override_settings(SECURITY=settings.SECURITY | {"ENFORCE": True, "PAIR_LIMIT": 3}):
        yield


def enforce() -> dict[str, Any]:
    """Wrong passwords for eve, until she is refused."""
    with enforcing():
        pages = [client().post("/login/", {"username": EMAIL, "password": "wrong"}) for _ in range(4)]
        right = client().post("/login/", {"username": EMAIL.upper(), "password": PASSWORD})
        elsewhere = Client(REMOTE_ADDR="198.51.100.7").post("/login/", {"username": EMAIL, "password": PASSWORD})
        wait_published()
    return {
        "refused": [b"refused" in page.content for page in pages],
        "right": right.status_code,
        "elsewhere": elsewhere.status_code,
        "account": CoolOff.objects.get().account,
        "released": released(),
    }


def released() -> bool:
    """By the command, for the username."""
    call_command("release_cool_off", EMAIL, stdout=io.StringIO())
    return not CoolOff.objects.exists()


def streams() -> dict[str, Any]:
    """What streams and their API answer eve's token, and a wrong one."""
    key = Token.objects.get_or_create(user=eve())[0].key

    async def ask() -> dict[str, Any]:
        found = {transport: await stream(transport, key) for transport in ("sse", "websocket")}
        return found | {f"wrong {transport}": await stream(transport, "f" * 40) for transport in ("sse", "websocket")}

    return asyncio.run(ask())


def statuses() -> dict[str, int]:
    """How what is ours answers eve, who is signed in, in a WSGI server."""
    incident = Incident.objects.create(kind="brute_force", **_incident())
    entry = AuditEntry.objects.latest("id")
    visitor = signed_in()
    pages = {
        "page": "/page/",
        "events": "/api/events/",
        "own events": f"/api/events/?user={eve().pk}",
        "others' events": "/api/events/?user=other",
        "counters": "/api/events/stats/",
        "audit": "/api/audit/",
        "audit entry": f"/api/audit/{entry.pk}/",
        "audit export": "/api/audit/export/?as=jsonl",
    }
    if hasattr(get_user_model(), "has_perm"):
        pages |= {
            "admin": reverse("admin:index"),
            "dashboard": reverse("admin:security_incident_dashboard"),
            "incidents": reverse("admin:security_incident_changelist"),
            "incident": reverse("admin:security_incident_change", args=[incident.pk]),
            "cool-offs": reverse("admin:security_cooloff_changelist"),
            "log": reverse("admin:audit_auditentry_changelist"),
            "entry": reverse("admin:audit_auditentry_change", args=[entry.pk]),
            "journal": reverse("admin:events_journalentry_changelist"),
        }
    found = {name: visitor.get(path).status_code for name, path in pages.items()}
    emitted = visitor.post("/api/events/", {"type": "document.uploaded", "data": {}}, content_type="application/json")
    wait_published()
    return found | {"emit": emitted.status_code}


def work_on_the_incident() -> dict[str, Any]:
    """Eve says something about it, and closes it."""
    incident, visitor = Incident.objects.latest("id"), signed_in()
    for act in ("acknowledge", "note", "close"):
        visitor.post(reverse("admin:security_incident_act", args=[incident.pk, act]), {"text": "seen"})
    wait_published()
    incident.refresh_from_db()
    page = visitor.get(reverse("admin:security_incident_change", args=[incident.pk])).content.decode()
    return {"state": incident.state, "author": EMAIL in page, "actors": [list(actor) for actor in _actors("incident.close")]}


def _actors(event_type: str) -> Any:
    return AuditEntry.objects.filter(event_type__startswith=event_type).values_list("actor_id", "actor_label")


def _incident() -> dict[str, Any]:
    now = utcnow()
    return {"severity": "high", "subject": "x", "summary": "x", "account": str(eve().pk), "opened_at": now, "last_event_at": now}


def access_changes(field: str, value: Any) -> int:
    """How often the hubs are told to look again at who may see what when one field is saved."""
    told = JournalEntry.objects.filter(event_type=ACCESS_CHANGED)
    before, user = told.count(), eve()
    setattr(user, field, value)
    user.save(update_fields=[field])
    wait_published()
    return told.count() - before


def recorded(pk: str) -> list[str]:
    """What the audit log says was done to the row of that account."""
    rows = AuditEntry.objects.filter(resource_type=get_user_model()._meta.label_lower, resource_id=pk)
    return list(rows.order_by("id").values_list("action", flat=True))


async def sign_in_asynchronously() -> list[str]:
    """In an asynchronous server."""
    with captured_events() as events:
        await AsyncClient().post("/login/", {"username": EMAIL, "password": PASSWORD})
    return [event.event_type for event in events if event.event_type.startswith("auth.")]
