"""An entry is there exactly if its change is committed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import post_save

from audit.models import AuditEntry
from audit.signals import entries_recorded
from tests.support.auditing import empty_log
from tests.support.databases import Databases, base_environment
from tests.support.paths import ROOT
from tests.support.remote import DjangoProcess
from tests.support.tracked.models import Article, Key, Tag

pytestmark = pytest.mark.django_db(transaction=True)


class Undone(Exception):
    """Rolls a block back."""


@pytest.fixture
def article() -> Article:
    made = Article.objects.create(title="a", count=1)
    empty_log()
    return made


@pytest.fixture
def told() -> Any:
    """What `entries_recorded` told."""
    heard: list[dict[str, Any]] = []

    def receiver(using: str, count: int, event_ids: list[str], **kwargs: Any) -> None:
        heard.append({"using": using, "count": count, "event_ids": event_ids})

    entries_recorded.connect(receiver)
    yield heard
    entries_recorded.disconnect(receiver)


def changes() -> list[Any]:
    return [entry.changes for entry in AuditEntry.objects.order_by("id")]


def undo(block: Callable[[], object]) -> None:
    try:
        with transaction.atomic():
            block()
            raise Undone
    except Undone:
        pass


def set_title(article: Article, title: str) -> None:
    article.title = title
    article.save()


def test_in_autocommit_a_change_and_its_entry_are_one_transaction(article: Article, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise Undone

    monkeypatch.setattr("audit.tracking.scopes.insert", broken)
    monkeypatch.setattr("audit.tracking.saving.statement", broken)
    for change in (
        lambda: set_title(article, "b"),
        lambda: Article.objects.create(title="new"),
        lambda: Article.objects.update(title="b"),
        lambda: Article.objects.bulk_create([Article(title="new")]),
        lambda: Article.objects.all().delete(),
        lambda: Article.objects.get().delete(),
        lambda: article.tags.add(Tag.objects.create(name="t")),
    ):
        with pytest.raises(Undone):
            change()
    assert [(a.title, a.tags.count()) for a in Article.objects.all()] == [("a", 0)]
    assert changes() == []


def test_receivers_of_post_save_are_called_after_the_commit_as_without_tracking(article: Article) -> None:
    seen = []

    def receiver(instance: Article, **kwargs: Any) -> None:
        seen.append((connection.in_atomic_block, changes()))

    post_save.connect(receiver, sender=Article)
    try:
        set_title(article, "b")
    finally:
        post_save.disconnect(receiver, sender=Article)
    assert seen == [(False, [{"title": ["a", "b"]}])]


def test_a_rollback_takes_entries_along_and_the_object_knows(article: Article) -> None:
    undo(lambda: set_title(article, "b"))
    assert changes() == []
    article.save()  # it still holds "b", and the row does not
    assert changes() == [{"title": ["a", "b"]}]


def test_a_savepoint_that_is_rolled_back_is_forgotten_and_no_other(article: Article) -> None:
    with transaction.atomic():
        set_title(article, "b")
        undo(lambda: set_title(article, "c"))
        with transaction.atomic():
            set_title(article, "d")
            undo(lambda: set_title(article, "e"))
    set_title(article, "f")
    assert changes() == [{"title": ["a", "b"]}, {"title": ["b", "d"]}, {"title": ["d", "f"]}]


def test_what_was_released_is_rolled_back_with_what_is_around_it(article: Article) -> None:
    def outer() -> None:
        with transaction.atomic():
            set_title(article, "b")

    undo(outer)
    set_title(article, "c")
    assert changes() == [{"title": ["a", "c"]}]


def test_what_was_read_in_a_transaction_that_was_rolled_back_is_not_believed(article: Article) -> None:
    found: list[Article] = []

    def change_and_read() -> None:
        Article.objects.update(title="b")
        found.append(Article.objects.get())

    undo(change_and_read)
    found[0].save(update_fields=["title"])
    entry = AuditEntry.objects.get()
    assert (entry.changes, entry.data) == ({"title": [None, "b"]}, {"old_unknown": ["title"]})


def test_what_was_read_after_an_inner_rollback_still_depends_on_the_outer_one(article: Article) -> None:
    found: list[Article] = []

    def change_and_read() -> None:
        Article.objects.update(title="b")
        undo(lambda: Article.objects.update(title="c"))
        found.append(Article.objects.get())

    undo(change_and_read)
    found[0].save(update_fields=["title"])
    assert (AuditEntry.objects.get().changes, Article.objects.get().title) == ({"title": [None, "b"]}, "b")


def test_a_savepoint_that_is_rolled_back_by_hand_is_forgotten_and_no_other(article: Article, told: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        set_title(article, "b")
        first = transaction.savepoint()
        set_title(article, "c")
        second = transaction.savepoint()
        set_title(article, "d")
        transaction.savepoint_rollback(second)
        article.save()  # it still holds "d", and the row does not
        transaction.savepoint_rollback(second)
        transaction.savepoint_commit(second)
        set_title(article, "e")
        transaction.savepoint_rollback(first)
        article.save()
    assert changes() == [{"title": ["a", "b"]}, {"title": ["b", "e"]}]
    assert [id for call in told for id in call["event_ids"]] == list(
        AuditEntry.objects.order_by("id").values_list("event_id", flat=True)
    )


def test_savepoints_of_one_transaction_tell_once_for_each_of_them(article: Article, told: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        set_title(article, "b")
        for title in "cd":
            with transaction.atomic():
                set_title(article, title)
        set_title(article, "e")
    assert [call["count"] for call in told] == [1, 1, 2], "the last savepoint was released: what follows shares its fate"


def test_an_object_whose_creation_was_rolled_back_is_created_again() -> None:
    made = Article(title="a")
    undo(made.save)
    made.save()
    assert [(entry.action, entry.resource_id) for entry in AuditEntry.objects.all()] == [("created", str(made.pk))]


def test_a_statement_that_fails_leaves_no_entry() -> None:
    Key.objects.create(key="k")
    with pytest.raises(IntegrityError):
        Key.objects.create(key="k")
    with pytest.raises(IntegrityError):
        Key.objects.bulk_create([Key(key="l"), Key(key="k")])
    assert AuditEntry.objects.count() == 1


def test_what_a_receiver_rolls_back_within_a_bulk_write_is_not_recorded(article: Article) -> None:
    other = Article.objects.create(title="x")
    empty_log()

    def receiver(instance: Article, **kwargs: Any) -> None:
        undo(lambda: set_title(other, "y"))

    from django.db.models.signals import post_delete

    post_delete.connect(receiver, sender=Article)
    try:
        Article.objects.filter(pk=article.pk).delete()
    finally:
        post_delete.disconnect(receiver, sender=Article)
    assert [entry.action for entry in AuditEntry.objects.all()] == ["deleted"]


def test_changes_under_select_for_update_are_recorded(article: Article) -> None:
    with transaction.atomic():
        locked = Article.objects.select_for_update().get()
        locked.count += 1
        locked.save()
    assert changes() == [{"count": [1, 2]}]


def test_others_are_told_once_a_transaction_when_it_is_committed(article: Article, told: list[dict[str, Any]]) -> None:
    undo(lambda: set_title(article, "b"))
    assert told == []
    with transaction.atomic():
        set_title(article, "c")
        Article.objects.bulk_create([Article(title="x"), Article(title="y")])
        assert told == []
    ids = list(AuditEntry.objects.order_by("id").values_list("event_id", flat=True))
    assert told == [{"using": "default", "count": 3, "event_ids": ids}]


def test_a_receiver_that_fails_does_not_harm_the_change(article: Article, caplog: pytest.LogCaptureFixture) -> None:
    def receiver(**kwargs: Any) -> None:
        raise Undone

    entries_recorded.connect(receiver)
    try:
        set_title(article, "b")
    finally:
        entries_recorded.disconnect(receiver)
    assert changes() == [{"title": ["a", "b"]}]
    assert "Undone" in caplog.text


KILLED = """
import os, signal
from django.db import transaction
from chatter_site.demo.models import Document
from audit.tracking import scopes, saving
document = Document.objects.get()
document.name = "after"
where = {where!r}
if where == "in autocommit":
    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)
    scopes.insert = saving.statement = die
    document.save()
with transaction.atomic():
    document.save()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("where", ["in autocommit", "in a transaction"])
def test_a_process_that_is_killed_leaves_neither_change_nor_entry(databases: Databases, tmp_path: Path, where: str) -> None:
    env = base_environment() | {
        "DATABASE_URL": databases.create(), "VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "chatter_site.settings"
    }  # fmt: skip
    with DjangoProcess(env) as process:
        process.run(
            "from chatter_site.demo.models import Document\n"
            "from django.contrib.auth.models import User\n"
            "Document.objects.create(owner=User.objects.first(), name='before', size=1)"
        )
        code = "import django; django.setup()\n" + KILLED.format(where=where)
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=False, timeout=60)
        assert done.returncode == -9
        left = process.run(
            "from chatter_site.demo.models import Document\n"
            "from audit.models import AuditEntry\n"
            "result = [Document.objects.get().name, [e.action for e in AuditEntry.objects.exclude(source_category='security')]]"
        )
    assert left == ["before", ["created"]]
