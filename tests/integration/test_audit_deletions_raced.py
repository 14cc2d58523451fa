"""What others delete at the same moment: an entry is there for what was deleted here, and for nothing else."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models.signals import post_delete, pre_delete

from audit.models import AuditEntry
from tests.support.auditing import empty_log
from tests.support.elsewhere import elsewhere, meanwhile
from tests.support.tracked.models import Article, Base, Child, Key

pytestmark = pytest.mark.django_db(transaction=True)

POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")


def deleted() -> list[tuple[str, str]]:
    found = AuditEntry.objects.filter(action="deleted").order_by("resource_type", "resource_id")
    return [(entry.resource_type.rpartition(".")[2], entry.resource_id) for entry in found]


def articles() -> list[Article]:
    made = Article.objects.bulk_create([Article(title=title) for title in "abc"])
    empty_log()
    return made


@POSTGRESQL
def test_what_somebody_else_deletes_between_is_recorded_once() -> None:
    made = articles()
    first = made[0].pk
    with meanwhile(pre_delete, Article, lambda: elsewhere(lambda: Article.objects.filter(pk=first).delete())):
        assert Article.objects.all().delete()[0] == 2
    assert deleted() == [("article", str(a.pk)) for a in made]
    assert not AuditEntry.objects.exclude(outcome="success").exists()


@POSTGRESQL
def test_what_was_made_again_after_a_deletion_is_not_taken_for_deleted_by_somebody_else() -> None:
    for _ in range(2):
        Key.objects.create(key="k1")
        Key.objects.filter(key="k1").delete()
    Key.objects.bulk_create([Key(key="k1"), Key(key="k2")])
    empty = AuditEntry.objects.count()
    with meanwhile(pre_delete, Key, lambda: elsewhere(lambda: Key.objects.filter(key="k2").delete())):
        Key.objects.all().delete()
    assert AuditEntry.objects.count() == empty + 2


@POSTGRESQL
def test_inherited_rows_that_somebody_else_deletes_are_recorded_once() -> None:
    made = [Child.objects.create(name=name) for name in "ab"]
    plain = Base.objects.create(name="c")
    empty_log()
    with meanwhile(pre_delete, Child, lambda: elsewhere(lambda: Child.objects.filter(pk=made[0].pk).delete())):
        Base.objects.all().delete()
    assert deleted() == [("base", str(plain.pk)), *[("child", str(c.pk)) for c in made]]


@POSTGRESQL
def test_where_sql_deleted_between_the_entries_say_that_nobody_knows_which() -> None:
    made = articles()

    def by_sql() -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM tracked_article WHERE id = %s", [made[0].pk])

    with meanwhile(pre_delete, Article, lambda: elsewhere(by_sql)):
        Article.objects.all().delete()
    entries = AuditEntry.objects.all()
    assert {entry.resource_id for entry in entries} == {str(a.pk) for a in made}
    assert [(entry.outcome, entry.data) for entry in entries] == [("unknown", {"deleted": 2, "among": 3})] * 3


def test_what_a_receiver_deletes_meanwhile_hides_nothing() -> None:
    made = articles()
    last = made[2].pk
    Key.objects.create(key="k")
    empty_log()

    def more() -> None:
        Key.objects.all().delete()
        Article.objects.filter(pk=last).delete()

    with meanwhile(post_delete, Article, more):
        Article.objects.filter(pk__in=[a.pk for a in made[:2]]).delete()
    assert len(deleted()) == 4


def test_what_a_receiver_deletes_before_is_recorded_once() -> None:
    made = articles()
    with meanwhile(pre_delete, Article, lambda: Article.objects.filter(pk=made[0].pk).delete()):
        Article.objects.all().delete()
    assert deleted() == [("article", str(a.pk)) for a in made]
