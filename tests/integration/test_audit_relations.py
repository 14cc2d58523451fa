"""Many-to-many fields of tracked models: exactly the rows that came and went are recorded, from whichever side, by whatever way."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.signals import m2m_changed, pre_delete

from tests.support.auditing import empty_log
from tests.support.elsewhere import beginning_elsewhere, meanwhile
from tests.support.recorded import article, entries
from tests.support.tracked.models import Article, Member, Membership, Tag
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
Rows = Article.tags.through


def tags(names: str) -> list[Tag]:
    return [Tag.objects.create(name=name) for name in names]


def recorded() -> list[Any]:
    return [(entry.resource_id, entry.changes["tags"]) for entry in entries()]


def test_many_to_many_changes_are_recorded_row_by_row_from_both_sides() -> None:
    saved, other = article(), article()
    x, y, z = (Tag.objects.create(name=name) for name in "xyz")
    saved.tags.add(x, y)
    saved.tags.add(y, z)
    saved.tags.remove(x, x)
    saved.tags.remove(x)
    saved.tags.set([x, z])
    saved.tags.set([x, z])
    z.articles.add(saved, other)
    z.articles.clear()
    saved.tags.clear()
    saved.tags.clear()
    found = [(e.resource_id, e.changes["tags"]) for e in entries()]
    s, o = str(saved.pk), str(other.pk)
    assert found == [
        (s, [[], [x.pk, y.pk]]),
        (s, [[], [z.pk]]),
        (s, [[x.pk], []]),
        (s, [[y.pk], []]),
        (s, [[], [x.pk]]),
        (o, [[], [z.pk]]),
        (s, [[z.pk], []]),
        (o, [[z.pk], []]),
        (s, [[x.pk], []]),
    ]


def test_friends_are_recorded_on_both_sides() -> None:
    saved, other = article(), article()
    saved.friends.add(other)
    other.friends.remove(saved)
    assert [(e.resource_id, e.changes["friends"]) for e in entries()] == [
        (str(saved.pk), [[], [other.pk]]),
        (str(other.pk), [[], [saved.pk]]),
        (str(saved.pk), [[other.pk], []]),
        (str(other.pk), [[saved.pk], []]),
    ]


def test_rows_of_a_through_model_are_recorded_as_objects_too() -> None:
    member, tag = Member.objects.create(name="m"), Tag.objects.create(name="t")
    empty_log()
    member.groups.add(tag, through_defaults={"role": "editor"})
    Membership.objects.get().delete()
    assert [(e.event_type, e.changes.get("role"), e.changes.get("groups")) for e in entries()] == [
        ("tracked.membership.created", [None, "editor"], None),
        ("tracked.member.updated", None, [[], [tag.pk]]),
        ("tracked.membership.deleted", ["editor", None], None),
    ]


def test_an_entry_of_the_objects_own_side_has_its_label() -> None:
    saved = article(title="Report")
    saved.tags.add(*tags("x"))
    saved.tags.clear()
    assert [entry.resource_label for entry in entries()] == ["Report", "Report"]


def test_rows_that_are_there_already_are_not_recorded_however_they_came() -> None:
    saved, (x, y, z) = article(), tags("xyz")

    def insert() -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO tracked_article_tags (article_id, tag_id) VALUES (%s, %s)", [saved.pk, y.pk])

    with meanwhile(m2m_changed, Rows, insert):
        saved.tags.add(x, y, z)
    assert recorded() == [(str(saved.pk), [[], [x.pk, z.pk]])]


@POSTGRESQL
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("committed", [True, False])
def test_of_two_that_add_the_same_row_at_the_same_moment_the_one_that_did_records_it(committed: bool, reverse: bool) -> None:
    saved, (x, y) = article(), tags("xy")
    added, waits = Event(), Event()

    def first() -> None:
        with transaction.atomic():
            saved.tags.add(x)
            added.set()
            waits.wait(10)
            transaction.set_rollback(not committed)

    def second() -> None:
        assert added.wait(10)
        if reverse:
            x.articles.add(saved)
        else:
            Article.objects.get().tags.add(x, y)

    with beginning_elsewhere(first), beginning_elsewhere(second):
        wait_for(lambda: blocked() == 1, "the second waits for the first")
        waits.set()
    came = [key for _, (_, new) in recorded() for key in new]
    assert sorted(came) == ([x.pk] if reverse else [x.pk, y.pk])


def blocked() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
        )
        return int(cursor.fetchone()[0])


def test_rows_that_go_with_an_object_of_the_other_side_are_recorded() -> None:
    saved, other, (x, y) = article(), article(), tags("xy")
    saved.tags.add(x, y)
    other.tags.add(x)
    empty_log()
    gone = x.pk
    x.delete()
    assert recorded() == [(str(saved.pk), [[gone], []]), (str(other.pk), [[gone], []])]
    Tag.objects.all().delete()
    assert recorded()[2:] == [(str(saved.pk), [[y.pk], []])]


def test_rows_that_go_with_the_object_itself_are_recorded_before_it_goes() -> None:
    saved = article()
    saved.tags.add(*tags("x"))
    empty_log()
    saved.delete()
    assert [entry.action for entry in entries()] == ["updated", "deleted"]


def test_rows_that_are_written_without_the_field_are_recorded_too() -> None:
    saved, (x, y) = article(), tags("xy")
    Rows.objects.create(article=saved, tag=x)
    Rows.objects.bulk_create([Rows(article=saved, tag=y)])
    Rows.objects.bulk_create([Rows(article=saved, tag=y)], ignore_conflicts=True)
    Rows.objects.filter(tag=x).delete()
    with pytest.raises(TypeError):
        Rows.objects.all()[:1].delete()
    s = str(saved.pk)
    assert recorded() == [(s, [[], [x.pk]]), (s, [[], [y.pk]]), (s, [[x.pk], []])]


def test_rows_that_are_changed_as_objects_are_recorded_too() -> None:
    saved, other, (x, y) = article(), article(), tags("xy")
    saved.tags.add(x)
    empty_log()
    Rows.objects.filter(tag=x).update(tag=y)
    rows = Rows.objects.get()
    rows.article = other
    rows.save()
    rows.save()
    assert rows.delete() == (1, {"tracked.Article_tags": 1})
    s, o = str(saved.pk), str(other.pk)
    assert recorded() == [(s, [[x.pk], []]), (s, [[], [y.pk]]), (s, [[y.pk], []]), (o, [[], [y.pk]]), (o, [[y.pk], []])]
    assert not Rows.objects.exists()
    with pytest.raises(ValueError, match="can't be deleted"):
        rows.delete()
    with pytest.raises(TypeError):
        Rows.objects.all()[:1].update(tag=x)


def test_what_a_receiver_of_all_deletions_listens_to_is_recorded_as_well() -> None:
    saved, (x,) = article(), tags("x")
    saved.tags.add(x)

    def receiver(**kwargs: Any) -> None:
        pass

    pre_delete.connect(receiver)  # Django deletes by key then
    try:
        saved.tags.remove(x)
    finally:
        pre_delete.disconnect(receiver)
    assert recorded()[1:] == [(str(saved.pk), [[x.pk], []])]


def test_above_the_limit_one_entry_has_the_count(settings: Any) -> None:
    settings.AUDIT = {"BULK_LIMIT": 2}
    made, (x,) = Article.objects.bulk_create([Article(title="a") for _ in range(3)]), tags("x")
    empty_log()
    x.articles.add(*made)
    x.articles.clear()
    assert [(e.resource_id, e.action, e.changes, e.data["count"]) for e in entries()] == [
        ("", "updated", {"tags": [None, None]}, 3)
    ] * 2


def test_a_failure_leaves_neither_row_nor_entry() -> None:
    saved, (x,) = article(), tags("x")

    def fail() -> None:
        raise ValueError

    for signal_at in range(2):
        with pytest.raises(ValueError), transaction.atomic():
            if signal_at:
                saved.tags.add(x)
            with meanwhile(m2m_changed, Rows, fail):
                saved.tags.remove(x) if signal_at else saved.tags.add(x)
    assert (recorded(), Rows.objects.count()) == ([], 0)


def test_a_row_costs_one_statement_more(django_assert_num_queries: Any) -> None:
    saved, (x, y) = article(), tags("xy")
    with transaction.atomic():
        with django_assert_num_queries(1 + 1 + 1):  # which are missing, their rows, the entry
            saved.tags.add(x, y)
        with django_assert_num_queries(1 + 1):
            saved.tags.remove(x)
        with django_assert_num_queries(1):
            saved.tags.remove(x)
        with django_assert_num_queries(1 + 1):
            saved.tags.clear()
