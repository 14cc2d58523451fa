"""Bulk writes of tracked models are recorded row by row, and above a limit with their criterion."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from tests.support.auditing import empty_log
from tests.support.recorded import article, entries, one
from tests.support.tracked.models import Article, Key, Tag, Untracked
from tests.support.tracked.special import Employee, Nameless, Safe, Visit

pytestmark = pytest.mark.django_db


def test_an_update_of_many_is_recorded_row_by_row() -> None:
    first, second = article(count=1), article(count=2)
    article(count=9)
    assert Article.objects.filter(count__lt=5).update(count=F("count") * 2, text="t") == 2
    assert {e.resource_id: e.changes for e in entries()} == {
        str(first.pk): {"count": [1, 2], "text": ["", "t"]},
        str(second.pk): {"count": [2, 4], "text": ["", "t"]},
    }


def test_an_update_says_only_what_it_changed() -> None:
    article(count=1)
    Article.objects.update(count=1)
    assert entries() == []


def test_annotations_distinct_and_order_do_not_hinder_an_update() -> None:
    saved = article(count=1)
    saved.tags.add(Tag.objects.create(name="x"), Tag.objects.create(name="xx"))
    empty_log()
    chosen = Article.objects.filter(tags__name__startswith="x").distinct().order_by("title").annotate(twice=F("count") * 2)
    assert chosen.update(count=F("twice") + 5) == 1
    assert one().changes == {"count": [1, 7]}


def test_what_a_queryset_of_the_project_adds_is_seen() -> None:
    article()
    Article.shouting.all().update(title="b")
    assert one().changes == {"title": ["a", "b"], "shouts": [0, 1]}


def test_updates_through_related_managers_are_recorded() -> None:
    owner = Untracked.objects.create(name="o")
    saved = article()
    owner.articles.add(saved)
    owner.articles.update(count=5)
    owner.articles.clear()
    assert [e.changes for e in entries()] == [{"owner": [None, owner.pk]}, {"count": [0, 5]}, {"owner": [owner.pk, None]}]


def test_objects_made_in_bulk_are_recorded_one_by_one() -> None:
    made = Article.objects.bulk_create([Article(title="a"), Article(title="b")])
    assert [(e.resource_id, e.changes["title"]) for e in entries()] == [(str(o.pk), [None, o.title]) for o in made]
    made[0].title = "c"
    made[0].save()
    assert entries()[2].changes == {"title": ["a", "c"]}


@pytest.mark.parametrize("on_conflict", ["ignore", "update"])
def test_what_was_offered_is_recorded_where_nobody_knows_what_was_made(on_conflict: str) -> None:
    Key.objects.create(key="k1", note="old")
    empty_log()
    options: dict[str, Any] = {"ignore_conflicts": True}
    if on_conflict == "update":
        options = {"update_conflicts": True, "unique_fields": ["key"], "update_fields": ["note"]}
    Key.objects.bulk_create([Key(key="k1", note="n"), Key(key="k2", note="n")], **options)
    entry = one()
    assert (entry.outcome, entry.data["count"], entry.data["on_conflict"]) == ("unknown", 2, on_conflict)
    assert [offered["note"] for offered in entry.data["offered"]] == ["n", "n"]


def test_objects_updated_in_bulk_are_recorded_one_by_one() -> None:
    saved = [article(count=n) for n in range(3)]
    for o in saved:
        o.count += 10
    Article.objects.bulk_update(saved, ["count"])
    assert [e.changes for e in entries()] == [{"count": [n, n + 10]} for n in range(3)]
    saved[0].save()
    assert len(entries()) == 3


def test_objects_deleted_in_bulk_are_recorded_one_by_one() -> None:
    saved = [article(count=n) for n in range(3)]
    Article.objects.filter(count__gt=0).delete()
    assert sorted(e.resource_id for e in entries()) == [str(o.pk) for o in saved[1:]]


@pytest.mark.parametrize("operation", ["update", "bulk_update", "bulk_create", "delete"])
def test_above_the_limit_one_entry_has_count_and_criterion(settings: Any, operation: str) -> None:
    settings.AUDIT = {"BULK_LIMIT": 2}
    saved = Article.objects.bulk_create([Article(title="a", count=n, api_token="T0KEN-1") for n in range(4)])
    empty_log()
    chosen = Article.objects.filter(count__gte=0, api_token="T0KEN-1")
    if operation == "update":
        chosen.update(title="b")
    elif operation == "bulk_update":
        for o in saved:
            o.title = "b"
        Article.objects.bulk_update(saved, ["title"])
    elif operation == "bulk_create":
        Article.objects.bulk_create([Article(title="n") for _ in range(4)])
    else:
        chosen.delete()
    entry = one()
    assert (entry.resource_type, entry.resource_id, entry.data["count"]) == ("tracked.article", "", 4)
    if operation in ("update", "delete"):
        assert entry.data["criterion"] == {
            "and": [
                {"field": "api_token", "lookup": "exact", "value": "[redacted]"},
                {"field": "count", "lookup": "gte", "value": 0},
            ]
        }
    if operation == "update":
        assert (entry.changes, entry.data["old_unknown"]) == ({"title": [None, "b"]}, ["title"])


def test_what_is_secret_of_another_model_is_so_in_a_criterion(settings: Any) -> None:
    settings.AUDIT = {"BULK_LIMIT": 1}
    by = Nameless.objects.create(note="n", contact="alice@example.org")
    safe = Safe.objects.create(name="s", api_key="K3Y")
    Visit.objects.bulk_create([Visit(by=by, safe=safe) for _ in range(2)])
    for _ in range(2):
        Employee.objects.create(note="n", contact="alice@example.org")
    empty_log()
    Visit.objects.filter(by__note="n", by__contact="alice@example.org").update(done=True)
    Visit.objects.filter(safe__name="s", safe__api_key="K3Y").update(done=False)
    Employee.objects.filter(note="n", contact="alice@example.org").update(grade=5)
    criteria = [{(c.get("model"), c["field"]): c["value"] for c in e.data["criterion"]["and"]} for e in entries()]
    nameless, unknown = "tracked.nameless", "tracked.safe"
    assert criteria == [
        {(nameless, "note"): "n", (nameless, "contact"): "[redacted]"},
        {(unknown, "name"): "s", (unknown, "api_key"): "[redacted]"},
        {(None, "note"): "n", (None, "contact"): "[redacted]"},
    ]


def test_a_refused_bulk_write_leaves_the_transaction_usable() -> None:
    article()
    with pytest.raises(TypeError):
        Article.objects.all()[:1].update(title="b")
    with pytest.raises(TypeError):
        Article.objects.all()[:1].delete()
    with pytest.raises(FieldError):
        Article.objects.update(tags=1)
    assert Article.objects.filter(title=Concat(Value("a"), Value(""))).count() == 1
    with transaction.atomic():
        Article.objects.update(title="c")
    assert one().changes == {"title": ["a", "c"]}
