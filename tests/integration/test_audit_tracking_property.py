"""Whatever sequence of ORM operations: what the log holds, read from the beginning, gives the rows as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from audit.models import AuditEntry
from tests.support.auditing import empty_log
from tests.support.tracked.models import Article, ArticleProxy, Tag

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = ("title", "count", "extra")
TITLES, COUNTS = st.sampled_from("abc"), st.integers(0, 3)
EXTRAS = st.sampled_from([{}, {"a": 1}, {"a": True}, {"a": [1, None]}, []])


class Undone(Exception):
    """Rolls a block back."""


def rows() -> dict[str, dict[str, Any]]:
    """The rows as they are, with their tags."""
    found = {str(a.pk): {name: getattr(a, name) for name in FIELDS} for a in Article.objects.all()}
    for pk, values in found.items():
        values["tags"] = sorted(Article.tags.through.objects.filter(article_id=pk).values_list("tag_id", flat=True))
    return found


def replayed() -> dict[str, dict[str, Any]]:
    """The rows as the log tells; each entry must follow on what was recorded before it."""
    state: dict[str, dict[str, Any]] = {}
    for entry in AuditEntry.objects.filter(resource_type="tracked.article").order_by("id"):
        pk, changes = entry.resource_id, {n: c for n, c in entry.changes.items() if n in (*FIELDS, "tags")}
        assert entry.changes, "an entry that says nothing"
        if entry.action == "created":
            assert pk not in state
            state[pk] = {name: new for name, (_, new) in changes.items()} | {"tags": []}
        elif entry.action == "deleted":
            assert {n: old for n, (old, _) in changes.items()} == {n: v for n, v in state.pop(pk).items() if n != "tags"}
        else:
            for name, (old, new) in changes.items():
                if name == "tags":
                    assert set(old) <= set(state[pk]["tags"])
                    assert not set(new) & set(state[pk]["tags"])
                    state[pk]["tags"] = sorted({*state[pk]["tags"], *new} - set(old))
                else:
                    assert (old, type(old)) == (state[pk][name], type(state[pk][name]))
                    assert repr(old) != repr(new)
                    state[pk][name] = new
    return state


class Operations(RuleBasedStateMachine):
    """Objects in memory that are kept, so that they may be stale after a rollback; each operation may be rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Article] = []
        self.tags: list[Tag] = []

    @initialize()
    def begin(self) -> None:
        for model in (Article.tags.through, Article, Tag):
            model.objects.all().delete()
        empty_log()
        self.tags = [Tag.objects.create(name=name) for name in "xyz"]

    @contextmanager
    def block(self, undone: str) -> Iterator[None]:
        """In autocommit, in a savepoint, or in one that is rolled back; perhaps released first."""
        if undone == "autocommit":
            yield
            return
        try:
            with transaction.atomic():
                with transaction.atomic():
                    yield
                    if undone == "savepoint":
                        transaction.set_rollback(True)
                if undone == "all":
                    raise Undone
        except Undone:
            pass

    def pick(self, number: int) -> Article | None:
        """An object in memory whose row is there: what else somebody wrote is loaded before it is saved."""
        if not self.held:
            return None
        article = self.held[number % len(self.held)]
        return article if article.pk and Article.objects.filter(pk=article.pk).exists() else None

    ways = st.sampled_from(["autocommit", "kept", "savepoint", "all"])

    @rule(title=TITLES, count=COUNTS, extra=EXTRAS, undone=ways, bulk=st.booleans())
    def create(self, title: str, count: int, extra: Any, undone: str, bulk: bool) -> None:
        made = Article(title=title, count=count, extra=extra)
        with self.block(undone):
            if bulk:
                Article.objects.bulk_create([made, Article(title="bulk")])
            else:
                made.save()
        self.held.append(made)

    @rule(number=COUNTS, title=TITLES, count=COUNTS, extra=EXTRAS, undone=ways, only=st.booleans())
    def save(self, number: int, title: str, count: int, extra: Any, undone: str, only: bool) -> None:
        if (article := self.pick(number)) is None:
            return
        with self.block(undone):
            fresh = Article.objects.get(pk=article.pk)
            fresh.title, fresh.count, fresh.extra = title, count, extra
            fresh.save(update_fields=["title"] if only else None)

    @rule(number=COUNTS, title=TITLES, undone=ways)
    def save_what_is_held(self, number: int, title: str, undone: str) -> None:
        """One field, of an object that may have been saved in a block that was rolled back."""
        if (article := self.pick(number)) is None:
            return
        article.refresh_from_db()
        with self.block(undone):
            article.title = title
            article.save()
            article.title = title + "!"
            article.save()

    @rule(number=COUNTS, undone=ways)
    def save_again_what_was_rolled_back(self, number: int, undone: str) -> None:
        if (article := self.pick(number)) is None:
            return
        article.refresh_from_db()
        with self.block("all"):
            article.count += 1
            article.save()
        with self.block(undone):
            article.save()

    @rule(count=COUNTS, undone=ways, proxy=st.booleans())
    def update(self, count: int, undone: str, proxy: bool) -> None:
        with self.block(undone):
            (ArticleProxy if proxy else Article).objects.filter(count__lte=count).update(count=F("count") + 1, title="u")

    @rule(undone=ways, title=TITLES)
    def bulk_update(self, undone: str, title: str) -> None:
        articles = list(Article.objects.all())
        for article in articles[:2]:
            article.title, article.extra = title, {"bulk": title}
        with self.block(undone):
            Article.objects.bulk_update(articles, ["title", "extra"])

    @rule(number=COUNTS, undone=ways, queryset=st.booleans())
    def delete(self, number: int, undone: str, queryset: bool) -> None:
        if (article := self.pick(number)) is None:
            return
        with self.block(undone):
            if queryset:
                Article.objects.filter(pk=article.pk).delete()
            else:
                Article.objects.get(pk=article.pk).delete()

    @rule(
        number=COUNTS, chosen=st.sets(COUNTS, max_size=3), undone=ways, way=st.sampled_from(["add", "remove", "set", "clear"]),
        reverse=st.booleans(),
    )  # fmt: skip
    def relate(self, number: int, chosen: set[int], undone: str, way: str, reverse: bool) -> None:
        if (article := self.pick(number)) is None:
            return
        tags = [self.tags[n % 3] for n in chosen]
        with self.block(undone):
            manager: Any = self.tags[number % 3].articles if reverse else article.tags
            others: Any = [article] if reverse else tags
            if way == "clear":
                manager.clear()
            elif way == "set":
                manager.set(others)
            else:
                getattr(manager, way)(*others)

    @invariant()
    def the_log_gives_the_rows(self) -> None:
        assert replayed() == rows()


def test_the_log_read_from_the_beginning_gives_the_rows() -> None:
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    chosen = settings(max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(Operations, settings=chosen)
