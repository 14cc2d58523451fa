"""Every change of a tracked object gives one entry, with what was and what is."""

from __future__ import annotations

import pickle
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.contrib.auth.models import User, UserManager
from django.core.files.base import ContentFile
from django.db import connection, models
from django.db.migrations.state import ModelState
from django.db.models import F
from django.template import Context
from django.test import RequestFactory

from audit.models import AuditEntry
from audit.templatetags.audit import audit_timeline_url
from audit.tracking.tracked import track
from tests.support.auditing import empty_log
from tests.support.recorded import article, entries, one
from tests.support.tracked.models import Article, ArticleProxy, Base, Child, Key, Member, Untracked

pytestmark = pytest.mark.django_db


# Single objects


def test_a_created_object_is_recorded_with_its_values() -> None:
    made = Article.objects.create(title="a", count=3)
    entry = one()
    assert (entry.event_type, entry.action, entry.source_category) == ("tracked.article.created", "created", "change")
    assert (entry.resource_type, entry.resource_id, entry.resource_label) == ("tracked.article", str(made.pk), "a")
    assert entry.changes["title"] == [None, "a"]
    assert entry.changes["count"] == [None, 3]
    assert "price" not in entry.changes, "what is NULL was not set"
    assert (entry.outcome, entry.actor_type, entry.actor_label) == ("success", "system", "system")


def test_a_save_records_what_it_changes_and_nothing_else() -> None:
    saved = article(count=1)
    saved.title, saved.count = "b", 2
    saved.save()
    entry = one()
    assert (entry.event_type, entry.changes, entry.data) == (
        "tracked.article.updated",
        {"title": ["a", "b"], "count": [1, 2]},
        {},
    )


def test_a_save_that_changes_nothing_leaves_no_entry() -> None:
    saved = article(price=Decimal("1.50"), extra={"a": [1]})
    saved.save()
    found = Article.objects.get(pk=saved.pk)
    found.count, found.price, found.noise = "0", "1.5", 7  # as a form might have it, and a field that is not recorded
    found.save()
    assert entries() == []


def test_values_are_typed_json() -> None:
    saved = article()
    local = datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    saved.price, saved.published_at, saved.day, saved.took = Decimal("9.5"), local, date(2026, 1, 2), timedelta(hours=1)
    saved.is_open, saved.ratio, saved.key_of_import, saved.extra = True, 0.5, UUID(int=5), {"a": [1, None, {"b": False}]}
    saved.blob = b"abc"
    saved.save()
    assert {name: new for name, (_, new) in one().changes.items()} == {
        "price": "9.50",
        "published_at": "2026-01-02T01:00:00+00:00",
        "day": "2026-01-02",
        "took": "P0DT01H00M00S",
        "is_open": True,
        "ratio": 0.5,
        "key_of_import": str(UUID(int=5)),
        "extra": {"a": [1, None, {"b": False}]},
        "blob": {"size": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    }


def test_json_that_was_changed_in_place_is_seen() -> None:
    found = Article.objects.get(pk=article(extra={"a": [1]}).pk)
    found.extra["a"].append(2)
    found.save()
    found.extra["a"].append(True)
    found.save()
    assert [e.changes for e in entries()] == [
        {"extra": [{"a": [1]}, {"a": [1, 2]}]},
        {"extra": [{"a": [1, 2]}, {"a": [1, 2, True]}]},
    ]


def test_a_file_is_recorded_by_its_name() -> None:
    saved = article()
    saved.file.save("report.txt", ContentFile(b"x"))
    first = saved.file.name
    found = Article.objects.get(pk=saved.pk)
    found.file.delete()
    assert [e.changes for e in entries()] == [{"file": ["", first]}, {"file": [first, ""]}]


def test_long_text_is_kept_by_its_start_and_digest(settings: Any) -> None:
    settings.AUDIT = {"MAX_VALUE_LENGTH": 100}
    saved = article()
    saved.text = "x" * 101
    saved.save()
    new = one().changes["text"][1]
    assert (new["start"], new["length"], len(new["sha256"])) == ("x" * 10, 101, 64)


def test_only_what_update_fields_names_is_recorded() -> None:
    saved = article()
    saved.title, saved.count = "b", 5
    saved.save(update_fields=["title"])
    assert one().changes == {"title": ["a", "b"]}
    saved.save()
    assert entries()[1].changes == {"count": [0, 5]}


def test_an_expression_is_recorded_as_such_where_only_the_database_knows_its_value() -> None:
    saved = article(count=1)
    saved.count = F("count") + 1
    saved.save()
    assert one().changes == {"count": [1, {"expression": "CombinedExpression"}]}
    saved.refresh_from_db()
    saved.count = 7
    saved.save()
    assert entries()[1].changes == {"count": [2, 7]}


def test_deferred_fields_are_known_once_they_are_loaded() -> None:
    pk = article(text="old").pk
    found = Article.objects.defer("text").get(pk=pk)
    found.title = "b"
    found.save()
    assert found.text == "old"
    found.text = "new"
    found.save()
    assert [e.changes for e in entries()] == [{"title": ["a", "b"]}, {"text": ["old", "new"]}]


def test_an_old_value_that_is_not_known_is_said_to_be_so() -> None:
    pk = article(text="old").pk
    found = Article.objects.only("title").get(pk=pk)
    found.text = "new"
    found.save()
    assert (one().changes, one().data) == ({"text": [None, "new"]}, {"old_unknown": ["text"]})


def test_an_object_that_was_never_loaded_is_recorded_without_old_values() -> None:
    known = Key.objects.create(key="k1")
    empty_log()
    Key(pk=known.pk, note="n").save()
    assert one().changes["note"] == [None, "n"]
    assert "note" in one().data["old_unknown"]


def test_a_copy_under_another_key_is_a_new_object() -> None:
    saved = article()
    saved.pk, saved.title = None, "b"
    saved.save()
    assert (one().action, one().resource_id, one().changes["title"]) == ("created", str(saved.pk), [None, "b"])


def test_an_object_that_writes_another_row_knows_nothing_of_what_that_was() -> None:
    saved, other = article(title="b"), article(title="a")
    saved.pk, saved.title = other.pk, "b"
    saved.save()
    assert (one().resource_id, one().changes["title"]) == (str(other.pk), [None, "b"])
    assert "title" in one().data["old_unknown"]


def test_a_deleted_object_is_recorded_with_its_last_values() -> None:
    saved = article(count=3)
    pk = saved.pk
    saved.title = "not saved"
    saved.delete()
    entry = one()
    assert (entry.event_type, entry.resource_id, entry.changes["title"]) == ("tracked.article.deleted", str(pk), ["a", None])
    assert entry.changes["count"] == [3, None]


def test_what_somebody_else_has_deleted_is_not_deleted_again() -> None:
    saved = article()
    Article.objects.filter(pk=saved.pk).delete()
    saved.delete()
    assert len(entries()) == 1


def test_a_cascade_and_set_null_are_recorded() -> None:
    folder, owner = Untracked.objects.create(name="f"), Untracked.objects.create(name="o")
    saved, kept = article(folder=folder), article(owner=owner)
    owner.delete()
    folder.delete()
    by_owner, by_folder = entries()
    assert (by_owner.resource_id, by_owner.changes) == (str(kept.pk), {"owner": [kept.owner_id, None]})
    assert (by_folder.event_type, by_folder.resource_id) == ("tracked.article.deleted", str(saved.pk))


def test_a_proxy_is_recorded_as_its_model() -> None:
    proxy = ArticleProxy.objects.create(title="p")
    proxy.title = "q"
    proxy.save()
    ArticleProxy.objects.filter(pk=proxy.pk).update(title="r")
    ArticleProxy.objects.all().delete()
    assert [e.event_type.rpartition(".")[2] for e in entries()] == ["created", "updated", "updated", "deleted"]
    assert {e.resource_type for e in entries()} == {"tracked.article"}


def test_inherited_columns_are_the_objects_own() -> None:
    child = Child.objects.create(name="c", size=1)
    child.name = "d"
    child.save()
    Child.objects.update(name="e", size=2)
    child.delete()
    assert [(e.event_type, e.changes) for e in entries()] == [
        (
            "tracked.child.created",
            {"id": [None, child_id(0)], "name": [None, "c"], "base_ptr": [None, child_id(0)], "size": [None, 1]},
        ),
        ("tracked.child.updated", {"name": ["c", "d"]}),
        ("tracked.child.updated", {"name": ["d", "e"], "size": [1, 2]}),
        ("tracked.child.deleted", entries()[3].changes),
    ]
    base = Base.objects.create(name="b")
    assert entries(resource_type="tracked.base")[0].resource_id == str(base.pk)


def child_id(number: int) -> int:
    return int(entries()[number].resource_id)


def test_a_text_that_needs_the_database_is_not_asked_for() -> None:
    made = Member.objects.create(name="m")
    assert one().resource_label == f"member {made.pk}"


# Secrets


def test_secrets_are_kept_by_no_entry() -> None:
    saved = article(api_token="T0KEN-1", email="a@example.org", ssn="123")
    saved.api_token, saved.email, saved.ssn = "T0KEN-2", "b@example.org", "456"
    saved.extra = {"nested": [{"password": "hunter2"}]}
    saved.title = "it is T0KEN-2"
    saved.save()
    entry = one()
    assert entry.changes["api_token"] == entry.changes["email"] == ["[redacted]", "[redacted]"]
    old, new = entry.changes["ssn"]
    assert old.startswith("hmac:")
    assert old != new
    assert entry.changes["extra"][1] == {"nested": [{"password": "[redacted]"}]}
    assert entry.resource_label == "it is …"


def test_a_secret_key_is_kept_by_its_hash() -> None:
    Key.objects.create(key="T0KEN-1")
    Key.objects.filter(key="T0KEN-1").delete()
    made, deleted = entries()
    assert made.resource_id == deleted.resource_id
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM audit_log")
        assert not [row for row in cursor.fetchall() if "T0KEN-1" in str(row)]


# What it costs, and what stays as it is


def test_the_link_to_an_objects_timeline_names_it_as_the_log_does(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = User(is_superuser=True)
    for model, values in ((Key, {"key": "T0KEN-1"}), (ArticleProxy, {"title": "A"})):
        original = model._default_manager.create(**values)
        link = audit_timeline_url(Context({"request": request}), original)
        entry = AuditEntry.objects.latest("id")
        assert parse_qs(urlsplit(link).query) == {"resource_type": [entry.resource_type], "resource_id": [entry.resource_id]}
        assert "T0KEN-1" not in link


def test_a_save_costs_one_statement_more(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        saved = Article.objects.create(title="a")
    saved.title = "b"
    with django_assert_num_queries(1 if connection.vendor == "postgresql" else 2):
        saved.save()
    with django_assert_num_queries(1):
        saved.save()  # nothing differs
    with django_assert_num_queries(2):
        Article.objects.bulk_create([Article(title="a") for _ in range(20)])


def test_migrations_know_nothing_of_it() -> None:
    state = ModelState.from_model(Member)
    assert state.bases == (models.Model,)
    ((_, manager),) = state.managers
    assert manager.deconstruct()[1] == "django.contrib.auth.models.UserManager"
    assert manager == UserManager()
    assert UserManager() == manager
    assert manager != models.Manager()


@pytest.mark.django_db(transaction=True)
def test_objects_and_querysets_can_be_pickled() -> None:
    saved = article()
    again = pickle.loads(pickle.dumps(Article.objects.get(pk=saved.pk)))
    again.title = "b"
    again.save()
    assert one().changes == {"title": ["a", "b"]}
    queryset = pickle.loads(pickle.dumps(Article.shouting.all()))
    queryset.update(count=5)
    assert entries()[1].changes == {"count": [0, 5], "shouts": [0, 1]}


def test_what_can_not_be_tracked_is_refused() -> None:
    for wrong in (ArticleProxy, Article, Article.tags.through, int):
        with pytest.raises(TypeError, match="track"):
            track(wrong)  # type: ignore[arg-type]
