"""What is done in Django's admin is audited, also when it is done to many objects at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.test import Client
from django.urls import reverse

from audit import admin_log
from audit.models import AuditEntry
from audit.testing import unprotected
from events.testing import wait_published

pytestmark = pytest.mark.django_db
# For what is about commits, or runs in another thread: its test has no transaction around it.
commits = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("admin", password="x")


@pytest.fixture
def client(admin: User) -> Client:
    client = Client(REMOTE_ADDR="203.0.113.9")
    client.force_login(admin)
    with unprotected():
        AuditEntry.objects.all().delete()
    return client


def entries() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event_type__startswith="admin.").order_by("id"))


@commits
def test_an_addition_is_audited_with_who_what_and_from_where(client: Client, admin: User) -> None:
    assert client.post(reverse("admin:auth_group_add"), {"name": "Editors"}).status_code == 302
    group = Group.objects.get()
    (entry,) = entries()
    assert (entry.event_type, entry.action, entry.outcome, entry.priority) == ("admin.add", "add", "success", "normal")
    assert (entry.resource_type, entry.resource_id) == ("auth.group", str(group.pk))
    assert (entry.user_id, entry.actor_label, entry.ip_address) == (str(admin.pk), "admin", "203.0.113.9")
    assert (entry.data["resource_label"], entry.data["changes"]) == ("Editors", [{"added": {}}])
    assert entry.correlation_id


def test_a_change_says_which_fields(client: Client) -> None:
    group = Group.objects.create(name="Editors")
    client.post(reverse("admin:auth_group_change", args=[group.pk]), {"name": "Writers"})
    (entry,) = entries()
    assert (entry.action, entry.data["changes"]) == ("change", [{"changed": {"fields": ["Name"]}}])


def test_a_deletion_is_told_at_once(client: Client) -> None:
    group = Group.objects.create(name="Editors")
    client.post(reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"})
    (entry,) = entries()
    assert (entry.action, entry.outcome, entry.priority) == ("delete", "success", "high")


@commits
@pytest.mark.parametrize("number", [1, 2, 25])
def test_the_bulk_delete_action_is_audited_object_by_object(client: Client, number: int) -> None:
    groups = [Group.objects.create(name=f"Group {n}") for n in range(number)]
    selection = {"action": "delete_selected", "_selected_action": [group.pk for group in groups], "post": "yes"}
    assert client.post(reverse("admin:auth_group_changelist"), selection).status_code == 302
    assert not Group.objects.exists()
    assert LogEntry.objects.count() == number
    assert sorted(entry.resource_id for entry in entries()) == sorted(str(group.pk) for group in groups)
    assert {entry.action for entry in entries()} == {"delete"}
    assert len({entry.correlation_id for entry in entries()}) == 1


@commits
def test_a_bulk_deletion_logged_before_it_is_tried_claims_no_success(client: Client) -> None:
    groups = [Group.objects.create(name=f"Group {n}") for n in range(2)]
    selection = {"action": "delete_selected", "_selected_action": [group.pk for group in groups], "post": "yes"}
    client.post(reverse("admin:auth_group_changelist"), selection)
    assert {entry.outcome for entry in entries()} == {"unknown"}


@commits
def test_a_bulk_deletion_in_a_transaction_vanishes_with_it(admin: User) -> None:
    groups = [Group.objects.create(name=f"Group {n}") for n in range(3)]
    with transaction.atomic():
        LogEntry.objects.log_actions(admin.pk, groups, DELETION)
        assert {entry.outcome for entry in entries()} == {"success"}
        transaction.set_rollback(True)
    wait_published()
    assert entries() == []


def test_connecting_again_records_nothing_twice(admin: User) -> None:
    admin_log.connect()
    groups = [Group.objects.create(name=f"Group {n}") for n in range(2)]
    LogEntry.objects.log_actions(admin.pk, groups[:1], CHANGE, [{"changed": {"fields": ["Name"]}}])
    LogEntry.objects.log_actions(admin.pk, groups, DELETION)
    assert len(entries()) == 3


def test_outside_of_a_request_the_log_says_who(admin: User) -> None:
    LogEntry.objects.log_actions(admin.pk, [Group.objects.create(name="Editors")], CHANGE, "By hand.")
    (entry,) = entries()
    assert (entry.user_id, entry.actor_label, entry.data["changes"]) == (str(admin.pk), "admin", "By hand.")


def test_an_action_that_a_project_made_up_is_audited_and_breaks_nothing(admin: User) -> None:
    LogEntry.objects.create(user=admin, action_flag=4, object_repr="report", change_message="printed")
    (entry,) = entries()
    assert (entry.event_type, entry.data["changes"]) == ("admin.other", "printed")


def test_a_log_entry_that_is_loaded_from_a_fixture_happened_elsewhere(admin: User) -> None:
    entry = LogEntry(user=admin, action_flag=CHANGE, object_repr="x", object_id="1")
    entry.save_base(raw=True)
    assert entries() == []


@pytest.mark.parametrize(
    "message", ["[not json", json.dumps([{"changed": {"name": "\u0000"}}]), "é" * 60_000, '["' + "\\u0001" * 9_000]
)
def test_a_hostile_or_endless_change_message_is_still_audited(admin: User, settings: Any, message: str) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    content_type = ContentType.objects.get_for_model(Group)
    LogEntry.objects.create(
        user=admin, content_type=content_type, object_id="7", object_repr="R" * 200, action_flag=CHANGE, change_message=message
    )
    (entry,) = entries()
    assert entry.resource_id == "7"
    assert entry.data["changes"]
