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
from tests.support.tracked.models import Article, ArticleProxy, Base, Child, Tag

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = ("title", "count", "extra")
LINKS = ("tags", "friends")
TITLES, COUNTS = st.sampled_from("abc"), st.integers(0, 3)
EXTRAS = st.sampled_from([{}, {"a": 1}, {"a": True}, {"a": [1, None]}, []])
State = dict[str, dict[str, Any]]


class Undone(Exception):
    """Rolls a block back."""


def articles() -> State:
    """The articles as they are, with their tags and friends."""
    found = {str(a.pk): {name: getattr(a, name) for name in FIELDS} for a in Article.objects.all()}
    for pk, values in found.items():
        values["tags"] = sorted(Article.tags.through.objects.filter(article_id=pk).values_list("tag_id", flat=True))
        values["friends"] = sorted(
            Article.friends.through.objects.filter(from_article_id=pk).values_list("to_article_id", flat=True)
        )
    return found


def children() -> State:
    """The rows of the two tables of inherited objects, as one where there are both."""
    sizes = dict(Child.objects.values_list("pk", "size"))
    names = Base.objects.values_list("pk", "name")
    return {str(pk): {"name": name} | ({"size": sizes[pk]} if pk in sizes else {}) for pk, name in names}


def replayed(types: list[str], fields: tuple[str, ...], links: tuple[str, ...] = ()) -> State:
    """The rows as the log tells; each entry must follow on what was recorded before it."""
    state: State = {}
    for entry in AuditEntry.objects.filter(resource_type__in=types).order_by("id"):
        pk, changes = entry.resource_id, {n: c for n, c in entry.changes.items() if n in (*fields, *links)}
        assert entry.changes, "an entry that says nothing"
        if entry.action == "created":
            assert pk not in state
            state[pk] = {name: new for name, (_, new) in changes.items()} | {name: [] for name in links}
        elif entry.action == "deleted":
            assert {n: old for n, (old, _) in changes.items()} | {name: [] for name in links} == state.pop(pk)
        else:
            for name, change in changes.items():
                follow_on(state[pk], name, *change, unknown=name in entry.data.get("old_unknown", ()))
    return state


def follow_on(values: dict[str, Any], name: str, old: Any, new: Any, *, unknown: bool) -> None:
    if name in LINKS:
        assert set(old) <= set(values[name])
        assert not set(new) & set(values[name])
        values[name] = sorted({*values[name], *new} - set(old))
        return
    assert unknown or (old, type(old)) == (values[name], type(values[name]))
    assert repr(old) != repr(new)
    values[name] = new


class Operations(RuleBasedStateMachine):
    """Objects in memory that are kept, so that they may be stale after a rollback; each operation may be rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Article] = []
        self.tags: list[Tag] = []

    @initialize()
    def begin(self) -> None:
        for model in (Article, Tag, Child, Base):
            model.objects.all().delete()
        empty_log()
        self.tags = [Tag.objects.create(name=name) for name in "xyz"]
        self.held = [Article.objects.create(title=title) for title in "ab"]
        self.held[0].tags.set(self.tags[:2])
        self.held[0].friends.add(self.held[1])
        Child.objects.create(name="c", size=1)

    @contextmanager
    def block(self, undone: str) -> Iterator[None]:
        """In autocommit, in a savepoint, or in one that is rolled back, also by hand; perhaps released first."""
        if undone == "autocommit":
            yield
            return
        try:
            with transaction.atomic():
                by_hand = transaction.savepoint()
                with transaction.atomic():
                    yield
                    if undone == "savepoint":
                        transaction.set_rollback(True)
                if undone == "by hand":
                    transaction.savepoint_rollback(by_hand)
                if undone == "all":
                    raise Undone
        except Undone:
            pass

    def pick(self, number: int) -> Article:
        """An object in memory whose row is there, or a new one."""
        self.held = [article for article in self.held if article.pk and Article.objects.filter(pk=article.pk).exists()]
        if not self.held:
            self.held.append(Article.objects.create(title="again"))
        return self.held[number % len(self.held)]

    ways = st.sampled_from(["autocommit", "kept", "kept", "savepoint", "by hand", "all"])

    @rule(title=TITLES, count=COUNTS, extra=EXTRAS, undone=ways, bulk=st.booleans(), proxy=st.booleans())
    def create(self, title: str, count: int, extra: Any, undone: str, bulk: bool, proxy: bool) -> None:
        made = (ArticleProxy if proxy else Article)(title=title, count=count, extra=extra)
        with self.block(undone):
            if bulk:
                type(made).objects.bulk_create([made, type(made)(title="bulk")])
            else:
                made.save()
        self.held.append(made)

    @rule(
        number=COUNTS, title=TITLES, count=COUNTS, extra=EXTRAS, undone=ways, only=st.booleans(),
        loaded=st.sampled_from(["all", "only", "defer"]),
    )  # fmt: skip
    def save(self, number: int, title: str, count: int, extra: Any, undone: str, only: bool, loaded: str) -> None:
        article = self.pick(number)
        with self.block(undone):
            queryset = Article.objects.all() if loaded == "all" else getattr(Article.objects, loaded)("title")
            fresh = queryset.get(pk=article.pk)
            fresh.title, fresh.count = title, count
            if loaded != "only":
                fresh.extra = extra
            fresh.save(update_fields=["title"] if only else None)

    @rule(number=COUNTS, title=TITLES, undone=ways)
    def save_what_is_refreshed_in_part(self, number: int, title: str, undone: str) -> None:
        article = self.pick(number)
        article.refresh_from_db(fields=["title"])
        with self.block(undone):
            article.title = title
            article.save(update_fields=["title"])
            article.refresh_from_db(fields=["title", "count"])
        article.refresh_from_db()
        article.refresh_from_db(fields=["title"])
        article.count += 1
        article.save(update_fields=["count"])
        assert AuditEntry.objects.latest("id").data == {}, "what was not refreshed is still known"

    @rule(number=COUNTS, title=TITLES, undone=ways)
    def save_what_is_held(self, number: int, title: str, undone: str) -> None:
        """One field, of an object that may have been saved in a block that was rolled back."""
        article = self.pick(number)
        article.refresh_from_db()
        with self.block(undone):
            article.title = title
            article.save()
            article.title = title + "!"
            article.save()

    @rule(number=COUNTS, undone=ways, before=st.sampled_from(["savepoint", "by hand", "all"]))
    def save_again_what_was_rolled_back(self, number: int, undone: str, before: str) -> None:
        article = self.pick(number)
        article.refresh_from_db()
        with self.block(before):
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

    @rule(number=COUNTS, undone=ways, way=st.sampled_from(["object", "queryset", "proxy"]))
    def delete(self, number: int, undone: str, way: str) -> None:
        article = self.pick(number)
        model = ArticleProxy if way == "proxy" else Article
        with self.block(undone):
            if way == "object":
                Article.objects.get(pk=article.pk).delete()
            else:
                model.objects.filter(pk=article.pk).delete()

    @rule(
        number=COUNTS, chosen=st.sets(COUNTS, max_size=3), undone=ways, way=st.sampled_from(["add", "remove", "set", "clear"]),
        field=st.sampled_from(["tags", "articles", "friends"]),
    )  # fmt: skip
    def relate(self, number: int, chosen: set[int], undone: str, way: str, field: str) -> None:
        article = self.pick(number)
        owner: Any = self.tags[number % 3] if field == "articles" else article
        others: list[Any] = [self.tags[n % 3] for n in chosen] if field == "tags" else list(Article.objects.all()[: len(chosen)])
        with self.block(undone):
            manager = getattr(owner, field)
            if way == "clear":
                manager.clear()
            elif way == "set":
                manager.set(others)
            else:
                getattr(manager, way)(*others)

    @rule(number=COUNTS, undone=ways)
    def delete_a_tag(self, number: int, undone: str) -> None:
        with self.block(undone):
            Tag.objects.get(pk=self.tags[number % 3].pk).delete()
        self.tags = [*Tag.objects.order_by("pk"), Tag.objects.create(name="new")][:3]

    @rule(
        title=TITLES,
        size=COUNTS,
        undone=ways,
        way=st.sampled_from(["create", "save", "update", "base", "delete", "all", "plain"]),
    )
    def inherit(self, title: str, size: int, undone: str, way: str) -> None:
        child = Child.objects.order_by("pk").first()
        with self.block(undone):
            if way == "plain":
                Base.objects.create(name=title)
            elif way == "create" or child is None:
                Child.objects.create(name=title, size=size)
            elif way == "save":
                child.name, child.size = title, size
                child.save()
            elif way == "update":
                Child.objects.update(name=title, size=size)
            elif way == "base":
                Base.objects.update(name=title)
            elif way == "delete":
                child.delete()
            else:
                Base.objects.all().delete()

    @invariant()
    def the_log_gives_the_rows(self) -> None:
        assert replayed(["tracked.article"], FIELDS, LINKS) == articles()
        assert replayed(["tracked.base", "tracked.child"], ("name", "size")) == children()


def test_the_log_read_from_the_beginning_gives_the_rows() -> None:
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    chosen = settings(max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(Operations, settings=chosen)
