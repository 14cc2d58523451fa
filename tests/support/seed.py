"""The accounts that every server's database has. Imported where Django is set up."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import connections
from rest_framework.authtoken.models import Token

from events import unified_event_manager
from events.models import JournalEntry, JournalHead

PASSWORD = "correct horse battery staple"
# The servers share a key, so that sessions made once are good on all of them.
SECRET_KEY = "only-for-tests-" * 4

# Name, staff, superuser. sam is staff without any permission.
USERS = (("admin", True, True), ("sam", True, False), ("alice", False, False), ("bob", False, False))


class Account(NamedTuple):
    """A user of the tests' servers. `session` is the key of a session that is signed in, `token` an API token."""

    id: str
    session: str
    token: str


def seed() -> dict[str, Account]:
    """Migrate the database of this process and make the accounts, by name. Called in a DjangoProcess."""
    call_command("migrate", verbosity=0)
    accounts = {}
    for name, is_staff, is_superuser in USERS:
        user = User.objects.create_user(name, f"{name}@example.com", PASSWORD, is_staff=is_staff, is_superuser=is_superuser)
        accounts[name] = Account(str(user.pk), new_session(user.pk), Token.objects.create(user=user).key)
    unified_event_manager.shutdown()
    JournalEntry.objects.all().delete()
    JournalHead.objects.all().delete()
    connections.close_all()
    return accounts


def new_session(user_id: int | str) -> str:
    """The key of a new session of the user, made without the signal of a login."""
    user = User.objects.get(pk=user_id)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]  # the one that knows passwords
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)
