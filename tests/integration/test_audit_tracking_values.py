"""Whatever fields, texts and copies of objects a project has: an entry says what was written, and a save does not fail for it."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import JSONField, QuerySet, Value
from django.test import TestCase

from audit.tracking.changes import Declaration, Plan
from audit.tracking.comparison import compare
from tests.support.auditing import empty_log
from tests.support.recorded import article, entries, one
from tests.support.tracked.models import Article, Base, Child, Untracked
from tests.support.tracked.special import JsonTextField, Named, Nameless, Pair, Special

pytestmark = pytest.mark.django_db


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


# Fields of the project's own


def test_an_object_in_a_text_column_is_seen_to_change_in_place() -> None:
    made = Special.objects.create(conf={"a": 1})
    empty_log()
    for found in (Special.objects.get(pk=made.pk), made):
        found.conf["a"] += 1
        found.save()
    assert [e.changes for e in entries()] == [{"conf": [{"a": 1}, {"a": 2}]}] * 2


def test_what_is_never_written_the_same_twice_is_no_change() -> None:
    made = Special.objects.create(salted={"b": 1, "a": 2})
    assert one().changes["salted"][1].keys() == {"size", "sha256"}
    found = Special.objects.get(pk=made.pk)
    found.save()
    made.salted = {"a": 2, "b": 1}
    made.save()
    assert len(entries()) == 1
    assert list(compare(Special)) == []


def test_what_is_encrypted_in_the_database_is_in_no_entry() -> None:
    Special.objects.create(diagnosis="measles")
    assert one().changes["diagnosis"] == [None, "[redacted]"]


def test_what_a_field_writes_and_does_not_assign_is_what_is_recorded() -> None:
    made = Special.objects.create(lower=" A ")
    assert one().changes["lower"] == [None, "a"]
    made.lower = " B "
    made.save()
    made.save()
    assert [e.changes for e in entries()[1:]] == [{"lower": ["a", "b"]}]
    assert list(compare(Special)) == []


def test_what_an_object_changes_when_it_is_made_is_a_change_when_it_is_saved() -> None:
    made = Named.objects.create(kind="pin")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tracked_named SET slug = '' WHERE id = %s", [made.pk])
    empty_log()
    Named.objects.get(pk=made.pk).save()
    assert one().changes == {"slug": ["", "pin"]}


def test_true_in_json_is_not_1() -> None:
    saved = article(extra={"a": 1})
    saved.extra = {"a": True}
    saved.save()
    assert one().changes["extra"] == [{"a": 1}, {"a": True}]


def test_what_a_field_can_not_write_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JsonTextField, "get_prep_value", lambda self, value: 1 / 0)
    assert Plan(Special, Declaration()).loaded({"id": 1, "conf": True, "lower": "a"}) == {"id": 1, "lower": "a"}


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0, False), ("1", 1)])
def test_json_that_python_takes_for_the_same_is_another(old: Any, new: Any) -> None:
    saved = article(extra=old)
    saved.extra = new
    saved.save()
    assert [type(value) for value in one().changes["extra"]] == [type(old), type(new)]


# JSON of any size


@pytest.mark.parametrize("depth", [248, 251, 255, 700])
def test_json_however_deep_is_saved_and_read(depth: int) -> None:
    made = Article.objects.create(title="a", extra=nested(depth))
    found = Article.objects.get(pk=made.pk)
    found.save()
    Article.objects.filter(extra=nested(depth)).update(count=5)
    assert [e.action for e in entries()] == ["created", "updated"]
    found.extra = nested(depth + 1)
    found.save()
    old, new = entries()[2].changes["extra"]
    assert old == entries()[0].changes["extra"][1] != new


def test_long_json_is_kept_by_its_digest(settings: Any) -> None:
    settings.AUDIT = {"MAX_JSON_LENGTH": 100}
    saved = article(extra={"a": ["x" * 80]})
    saved.extra["a"].append("y" * 80)
    saved.save()
    old, new = one().changes["extra"]
    assert (old, new["length"], len(new["sha256"])) == ({"a": ["x" * 80]}, 173, 64)


def test_what_is_kept_of_json_takes_the_room_that_it_needs() -> None:
    import tracemalloc

    made = article(extra={"a": [1, 2, 3]})
    values = made._state.snapshot.values["extra"]  # type: ignore[attr-defined]
    tracemalloc.start()
    try:
        copies = [Article.objects.get(pk=made.pk)._state.snapshot.values["extra"] for _ in range(5)]  # type: ignore[attr-defined]
        sizes = {
            trace.size
            for trace in tracemalloc.take_snapshot().traces
            if trace.traceback[0].filename.endswith("tracking/values.py")
        }
    finally:
        tracemalloc.stop()
    assert copies == [values] * 5
    assert max(sizes) < 1_000


# Expressions


def test_of_an_expression_its_kind_is_kept_and_it_is_not_asked() -> None:
    saved = article(extra={"a": 1}, folder=Untracked.objects.create(name="f"))
    saved.extra = Value({"password": "hunter2"}, JSONField())
    saved.save()
    assert one().changes == {"extra": [{"a": 1}, {"expression": "Value"}]}


def test_a_query_as_value_is_not_run(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.AUDIT = {"BULK_LIMIT": 1}
    for _ in range(2):
        article(folder=Untracked.objects.create(name="f"))
    empty_log()
    query = Untracked.objects.order_by("pk").values("pk")[:1]
    monkeypatch.setattr(QuerySet, "__repr__", lambda self: pytest.fail("it was run"))
    Article.objects.update(owner=query)
    assert one().changes["owner"] == [None, {"expression": "QuerySet"}]


# The display text


@pytest.mark.parametrize(
    ("kind", "pin", "label"), [("other", 1234, None), ("none", 1234, None), ("pin", 1234, "pin …"), ("pin", 12, None)]
)
def test_a_text_that_fails_or_tells_a_secret_is_not_kept_and_the_row_is(kind: str, pin: int, label: str | None) -> None:
    made = Named.objects.create(kind=kind, pin=pin)
    assert one().resource_label == (f"named {made.pk}" if label is None else label)


# Which row it is


def test_a_copy_knows_what_the_object_knew() -> None:
    saved = article()
    saved.count = 1
    saved.save()
    copied = copy.deepcopy(saved)
    copied.count = 2
    copied.save()
    assert [(e.changes, e.data) for e in entries()] == [({"count": [0, 1]}, {}), ({"count": [1, 2]}, {})]


class TestClassData(TestCase):
    saved: Article

    @classmethod
    def setUpTestData(cls) -> None:
        cls.saved = Article.objects.create(title="a")

    def test_an_object_of_the_class_is_known(self) -> None:
        self.saved.count = 5
        self.saved.save()
        assert entries()[-1].changes == {"count": [0, 5]}


def test_what_is_pickled_before_the_commit_is_not_known_to_be_true() -> None:
    with transaction.atomic():
        saved = article()
        saved.count = 1
        saved.save()
        pickled = pickle.dumps(saved)
        transaction.set_rollback(True)
    again = pickle.loads(pickled)
    assert again._state.snapshot.values == {}


def test_a_key_given_as_text_is_the_same_key() -> None:
    saved = article()
    saved.pk, saved.title = str(saved.pk), "b"
    saved.save()
    assert (one().changes, one().data) == ({"title": ["a", "b"]}, {})


def test_an_object_is_known_where_its_key_is_not_recorded() -> None:
    made = Nameless.objects.create(note="a", contact="a")
    made.save()
    made.note = "b"
    made.save()
    Nameless.objects.get(pk=made.pk).save()
    assert {e.resource_label for e in entries()} == {""}, "the text that was declared is None"
    assert [e.changes for e in entries()] == [{"note": [None, "a"], "contact": [None, "[redacted]"]}, {"note": ["a", "b"]}]


def test_a_key_of_several_columns_is_an_id_of_the_log() -> None:
    made = Pair.objects.create(left=1, right=2, note="a")
    made.note = "b"
    made.save()
    Pair.objects.create(left=3, right=4).delete()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tracked_pair SET note = 'x' WHERE \"left\" = 1")
    assert [e.resource_id for e in entries()] == ["[1,2]", "[1,2]", "[3,4]", "[3,4]"]
    assert [str(found) for found in compare(Pair)] == ['tracked.pair [1,2]: note is "x", recorded is "b"']
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tracked_pair")
    assert [found.kind for found in compare(Pair)] == ["missing"]


def test_a_fixture_of_an_inherited_object_says_nothing_of_the_parents_columns(tmp_path: Any) -> None:
    Child.objects.create(name="c", size=1)
    fixture = tmp_path / "fixture.json"
    fixture.write_text(serializers.serialize("json", [*Base.objects.all(), *Child.objects.all()]))
    pk = Child.objects.get().pk
    Child.objects.all().delete()
    empty_log()
    call_command("loaddata", fixture, verbosity=0)
    base, child = entries()
    assert base.changes == {"id": [None, pk], "name": [None, "c"]}
    assert child.changes == {"base_ptr": [None, pk], "size": [None, 1]}
    changed = [entry | {"fields": {"size": 2}} for entry in json.loads(fixture.read_text()) if entry["model"] == "tracked.child"]
    fixture.write_text(json.dumps(changed))
    call_command("loaddata", fixture, verbosity=0)
    assert entries()[2].changes.keys() == {"base_ptr", "size"}
    assert [*compare(Base), *compare(Child)] == []
