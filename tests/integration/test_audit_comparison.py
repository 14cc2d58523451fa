"""`manage.py compare_audit`: what went around the ORM is found."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from audit.models import AuditEntry
from audit.tracking.registry import plans
from tests.support.tracked.models import Article, Base, Child, Key, Tag

pytestmark = pytest.mark.django_db


def compared(*arguments: str) -> tuple[int, list[str]]:
    """The exit status, and the lines."""
    out = StringIO()
    try:
        call_command("compare_audit", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def sql(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def test_what_the_orm_did_is_as_recorded(settings: Any) -> None:
    saved = Article.objects.create(title="a", api_token="T0KEN-1", ssn="5", extra={"password": "x"}, text="y" * 20_000)
    saved.title, saved.count = "b", F("count") + 1
    saved.save()
    Article.objects.bulk_create([Article(title="c"), Article(title="d")])
    Article.objects.update(count=5)
    saved.tags.add(Tag.objects.create(name="t"))
    Article.objects.filter(title="d").delete()
    Key.objects.create(key="T0KEN-2")
    child = Child.objects.create(name="c")
    Base.objects.update(name="d")
    Child.objects.update(size=5)
    child.delete()
    Child.objects.create(name="e")
    assert compared() == (0, [])


def test_what_went_around_it_is_found() -> None:
    changed, deleted, _ = (Article.objects.create(title=title) for title in "abc")
    sql("UPDATE tracked_article SET title = 'x' WHERE id = %s", changed.pk)
    sql("DELETE FROM tracked_article WHERE id = %s", deleted.pk)
    sql("INSERT INTO tracked_key (key, note) VALUES ('k', '')")
    status, lines = compared()
    assert status == 1
    assert lines[:2] == [
        f'tracked.article {changed.pk}: title is "x", recorded is "a"',
        f"tracked.article {deleted.pk}: is recorded, and there is no such row",
    ]
    assert lines[2].startswith("tracked.key hmac:")
    assert lines[2].endswith("has no record")
    assert compared("tracked.Base") == (0, [])


def test_what_was_found_can_be_recorded_as_the_state_to_start_from() -> None:
    changed, deleted = Article.objects.create(title="a"), Article.objects.create(title="b")
    sql("UPDATE tracked_article SET title = 'x', count = 7 WHERE id = %s", changed.pk)
    sql("DELETE FROM tracked_article WHERE id = %s", deleted.pk)
    sql("INSERT INTO tracked_key (key, note) VALUES ('k', 'n')")
    status, lines = compared("--record")
    assert (status, len(lines)) == (0, 4)
    observed = AuditEntry.objects.filter(action="observed").order_by("id")
    assert [entry.changes for entry in observed][:2] == [{"title": ["a", "x"], "count": [0, 7]}, {}]
    assert observed[2].changes["note"] == [None, "n"]
    assert compared() == (0, [])
    sql("UPDATE tracked_article SET title = 'y' WHERE id = %s", changed.pk)
    sql("UPDATE tracked_key SET note = 'm'")
    assert len(compared()[1]) == 2


def test_many_to_many_rows_that_went_around_it_are_found_and_can_be_recorded() -> None:
    changed, other = Article.objects.create(title="a"), Article.objects.create(title="b")
    x, y, z = (Tag.objects.create(name=name) for name in "xyz")
    changed.tags.set([x, y])
    changed.tags.remove(y)
    other.friends.add(changed)
    assert compared() == (0, [])
    sql("DELETE FROM tracked_article_tags")
    for tag in (y, z):
        sql("INSERT INTO tracked_article_tags (article_id, tag_id) VALUES (%s, %s)", changed.pk, tag.pk)
    sql("DELETE FROM tracked_article_friends WHERE to_article_id = %s", changed.pk)
    assert compared() == (1, lines := [
        f"tracked.article {changed.pk}: of tags, [{x.pk}] are recorded and not there, [{y.pk}, {z.pk}] are there and not recorded",
        f"tracked.article {other.pk}: of friends, [{changed.pk}] are recorded and not there",
    ])  # fmt: skip
    assert compared("--record") == (0, lines)
    assert AuditEntry.objects.filter(action="observed").order_by("id")[0].changes == {"tags": [[x.pk], [y.pk, z.pk]]}
    assert compared() == (0, [])
    changed.tags.clear()
    assert compared() == (0, [])


def test_many_to_many_rows_from_before_the_tracking_are_no_finding() -> None:
    sql("INSERT INTO tracked_tag (id, name) VALUES (8, 'x'), (9, 'y')")
    columns = "title, text, count, is_open, key_of_import, extra, api_token, email, ssn, noise, shouts"
    false = "false" if connection.vendor == "postgresql" else "0"
    values = f"'t', '', 0, {false}, '{'0' * 32}', '{{}}', '', '', '', 0, 0"
    sql(f"INSERT INTO tracked_article (id, {columns}) VALUES (5, {values}), (6, {values})")
    sql("INSERT INTO tracked_article_tags (article_id, tag_id) VALUES (5, 8), (6, 8)")
    old = Article.objects.get(pk=5)
    old.title = "b"
    old.save()  # recorded from here on: what it had before nobody knows
    old.tags.add(9)
    assert compared() == (1, ["tracked.article 6: has no record"])
    compared("--record")
    assert AuditEntry.objects.get(resource_id="6").changes["tags"] == [[], [8]]
    sql("DELETE FROM tracked_article_tags")
    assert compared() == (1, [
        "tracked.article 5: of tags, [9] are recorded and not there",
        "tracked.article 6: of tags, [8] are recorded and not there",
    ])  # fmt: skip


def test_many_to_many_rows_of_too_many_objects_to_know_are_no_finding(settings: Any) -> None:
    settings.AUDIT = {"BULK_LIMIT": 1}
    made = Article.objects.create(title="a")
    made.tags.add(tag := Tag.objects.create(name="x"))
    tag.articles.add(Article.objects.create(title="b"), Article.objects.create(title="c"))  # too many to know whose they are
    sql("DELETE FROM tracked_article_tags")
    assert compared() == (0, [])
    made.tags.add(tag)
    sql("DELETE FROM tracked_article_tags")
    assert compared() == (1, [f"tracked.article {made.pk}: of tags, [{tag.pk}] are recorded and not there"])


@pytest.mark.parametrize(("declared", "number"), [("hash", 1), ("mask", 0)])
def test_many_to_many_rows_are_compared_by_what_is_kept_of_them(
    monkeypatch: pytest.MonkeyPatch, declared: str, number: int
) -> None:
    plan = plans[Article]
    monkeypatch.setattr(plan, "declaration", replace(plan.declaration, **{declared: frozenset(["tags"])}))
    made = Article.objects.create(title="a")
    made.tags.add(Tag.objects.create(name="x"))
    assert compared() == (0, [])
    sql("DELETE FROM tracked_article_tags")
    _, lines = compared()
    assert len(lines) == number
    assert all('of tags, ["hmac:' in line for line in lines)


def test_a_bulk_write_without_values_is_no_reason_for_suspicion(settings: Any) -> None:
    settings.AUDIT = {"BULK_LIMIT": 1}
    Article.objects.bulk_create([Article(title="a"), Article(title="b"), Article(title="c")])
    Article.objects.update(title="x")
    Article.objects.filter(count=0).exclude(pk=Article.objects.first().pk).delete()
    assert compared() == (0, [])


def test_a_lost_update_is_found() -> None:
    one, other = Article.objects.create(title="a"), Article.objects.get()
    other.count = 5
    other.save()
    one.title = "b"
    one.save()  # writes the count that it knew, too
    assert compared() == (1, [f"tracked.article {one.pk}: count is 0, recorded is 5"])


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(CommandError, match=r"auth.user is not tracked"):
        compared("auth.User")
