"""Models with deletions, managers and references of a project's own kind work as they did, and are recorded."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import ProtectedError

from audit.tracking.criteria import summary
from audit.tracking.registry import plan_of
from audit.tracking.scopes import batch
from tests.support.auditing import empty_log
from tests.support.databases import Databases, base_environment
from tests.support.recorded import entries, one
from tests.support.remote import DjangoProcess
from tests.support.tracked.adopted import UNLUCKY, Draft, Fragile, Labelled, LabelledToo, Letter, Loan, Note, Ring, Seal
from tests.support.tracked.models import Key, Untracked

pytestmark = pytest.mark.django_db


def made(model: Any, **values: Any) -> Any:
    """An object that was there before what the test looks at."""
    new = model.objects.create(**values)
    empty_log()
    return new


@pytest.mark.parametrize("model", [Note, Letter])
def test_a_deletion_that_marks_the_row_is_recorded_as_what_it_is(model: Any) -> None:
    kept = made(model, text="a")
    assert kept.delete() is None
    assert (one().action, one().changes) == ("updated", {"is_gone": [False, True]})


def test_parameters_of_a_deletion_of_the_projects_own_reach_it() -> None:
    letter = made(Letter, text="a")
    assert letter.delete(hard=True) == (1, {"tracked.Letter": 1})
    assert one().action == "deleted"


def test_an_object_with_an_older_refresh_is_refreshed() -> None:
    letter = made(Letter, text="a")
    Letter.objects.update(text="b")
    letter.refresh_from_db()
    letter.text = "c"
    letter.save()
    assert entries()[1].changes == {"text": ["b", "c"]}


def test_an_update_is_recorded_whatever_the_base_manager_shows() -> None:
    draft = made(Draft)
    assert Draft.objects.filter(pk=draft.pk).update(is_gone=True) == 1
    assert Draft.everything.filter(pk=draft.pk).update(is_gone=False) == 1
    assert [e.changes for e in entries()] == [{"is_gone": [False, True]}, {"is_gone": [True, False]}]


def test_an_update_of_rows_that_were_to_be_locked_is_recorded() -> None:
    made(Draft)
    assert Draft.everything.select_for_update(skip_locked=True).distinct().update(is_gone=True) == 1
    assert one().changes == {"is_gone": [False, True]}


@pytest.mark.parametrize("name", ["by_default", "by_call", "at_once", "one_by_one"])
def test_what_a_deletion_writes_into_references_is_recorded(name: str) -> None:
    owner = Untracked.objects.create(name="o")
    first, second = (Loan.objects.create(**{name: owner}) for _ in range(2))
    empty_log()
    Untracked.objects.all().delete()
    changes = {name: [owner.pk, None]}
    assert {e.resource_id: e.changes for e in entries()} == {str(first.pk): changes, str(second.pk): changes}
    assert not Loan.objects.exclude(**{name: None}).exists()


def test_references_to_a_tracked_object_are_recorded_with_its_deletion() -> None:
    letter = made(Letter, text="a")
    loan = made(Loan, of_note=letter)
    letter.delete(hard=True)
    assert [(e.event_type, e.resource_id) for e in entries()] == [
        ("tracked.loan.updated", str(loan.pk)),
        ("tracked.letter.deleted", entries()[1].resource_id),
    ]


@pytest.mark.parametrize("of", ["object", "query"])
def test_too_many_rows_of_a_cascade_say_what_took_them_along(settings: Any, of: str) -> None:
    settings.AUDIT = {"BULK_LIMIT": 1}
    letter = Letter.objects.create(text="a")
    Loan.objects.bulk_create([Loan(filed=letter) for _ in range(3)])
    assert "criterion" not in entries()[1].data, "what is created was not chosen"
    empty_log()
    pk = letter.pk
    if of == "object":
        letter.delete(hard=True)
        origin: Any = str(pk)
    else:
        Letter.objects.filter(pk=pk).delete()
        origin = {"and": [{"field": "id", "lookup": "exact", "value": pk}]}
    loans, deleted = sorted(entries(), key=lambda e: e.event_type, reverse=True)
    assert (loans.event_type, loans.action, loans.resource_type) == ("tracked.loan.deleted", "deleted", "tracked.loan")
    assert loans.data == {"count": 3, "criterion": {"cascade_of": ["tracked.letter", origin]}}
    assert deleted.resource_id == str(pk)


@pytest.mark.parametrize("of", ["object", "query"])
def test_too_many_rows_of_the_models_own_have_the_criterion_of_the_query_only(settings: Any, of: str) -> None:
    settings.AUDIT = {"BULK_LIMIT": 1}
    first = Loan.objects.create()
    Loan.objects.bulk_create([Loan(next=first) for _ in range(2)])
    empty_log()
    pk = first.pk
    if of == "object":
        first.delete()
        assert one().data == {"count": 3, "criterion": {"cascade_of": ["tracked.loan", str(pk)]}}
    else:
        Loan.objects.filter(pk=pk).delete()
        assert one().data["criterion"] == {"and": [{"field": "id", "lookup": "exact", "value": pk}]}


@pytest.mark.parametrize("model", [Labelled, LabelledToo])
def test_models_and_managers_whose_first_base_is_generic_are_recorded(model: Any) -> None:
    made(model, name="a")
    model.objects.update(name="b")
    assert one().changes == {"name": ["a", "b"]}


@pytest.mark.parametrize(("declared", "kept"), [("", "hmac:"), ("hash", "hmac:"), ("open", "k1"), ("mask", "[redacted]")])
def test_keys_of_many_to_many_rows_are_kept_as_those_of_a_foreign_key(monkeypatch: Any, declared: str, kept: str) -> None:
    plan = plan_of(Ring)
    if declared:
        monkeypatch.setattr(plan, "declaration", replace(plan.declaration, **{declared: frozenset(["holds"])}))
    ring, key = Ring.objects.create(), Key.objects.create(key="k1")
    empty_log()
    ring.holds.add(key)
    assert one().changes["holds"][1][0].startswith(kept)


def test_models_that_are_made_later_are_recorded(databases: Databases, tmp_path: Any) -> None:
    code = """
        from django.contrib.auth.models import Group, Permission
        from django.db import connection, models
        import audit
        from audit.models import AuditEntry

        audit.track(Group)

        class Team(Group):
            class Meta:
                proxy = True
                app_label = "auth"

        class Club(Group):
            town = models.CharField(max_length=50)
            rights = models.ManyToManyField(Permission, related_name="clubs")
            class Meta:
                app_label = "auth"

        with connection.schema_editor() as editor:
            editor.create_model(Club)
        team = Team.objects.create(name="a")
        Team.objects.update(name="b")
        Team.objects.get().delete()
        club = Club.objects.create(name="c", town="t")
        club.rights.add(Permission.objects.first())
        Club.objects.update(town="u")
        result = list(AuditEntry.objects.filter(source_category="change").order_by("id").values_list("event_type", flat=True))
    """
    with DjangoProcess(base_environment() | {"DATABASE_URL": databases.create(), "VAR_DIR": str(tmp_path)}) as process:
        recorded = process.run(inspect.cleandoc(code))
    assert recorded == [
        *(f"auth.group.{action}" for action in ("created", "updated", "deleted")),
        *(f"auth.club.{action}" for action in ("created", "updated", "updated")),
    ]


def test_no_migration_is_wanted_because_of_it(databases: Databases, tmp_path: Any) -> None:
    code = """
        from django.contrib.auth.models import Group, Permission, User
        from django.core.management import call_command
        import audit

        for model in (User, Group, Permission):
            audit.track(model)
        call_command("makemigrations", check=True, dry_run=True)
    """
    with DjangoProcess(base_environment() | {"DATABASE_URL": databases.create(), "VAR_DIR": str(tmp_path)}) as process:
        process.run(inspect.cleandoc(code))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("operation", ["create", "bulk_create", "update", "bulk_update", "delete", "nested"])
def test_a_change_whose_entry_fails_is_not_committed_by_who_catches_that(operation: str) -> None:
    before = UNLUCKY if operation == "delete" else 1
    broken = Fragile.objects.create()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tracked_fragile SET number = %s", [before])
    empty_log()
    broken.number, broken.count = UNLUCKY, 1

    def do() -> None:
        if operation == "create":
            Fragile.objects.create(number=UNLUCKY)
        elif operation == "bulk_create":
            Fragile.objects.bulk_create([Fragile(number=UNLUCKY)])
        elif operation == "update":
            Fragile.objects.update(number=UNLUCKY)
        elif operation == "bulk_update":
            Fragile.objects.bulk_update([broken], ["number"])
        elif operation == "delete":
            Fragile.objects.all().delete()
        else:
            with batch("default", summary(plan_of(Fragile), {})):
                Fragile.objects.create()
                raise ZeroDivisionError

    with transaction.atomic():
        with pytest.raises(ZeroDivisionError):
            do()
        assert transaction.get_rollback()
    assert list(Fragile.objects.values_list("number", "count")) == [(before, 0)]
    assert entries() == []


@pytest.mark.django_db(transaction=True)
def test_a_refused_deletion_leaves_the_transaction_usable() -> None:
    letter = made(Letter, text="a")
    Seal.objects.create(letter=letter)
    with transaction.atomic():
        with pytest.raises(ProtectedError):
            letter.delete(hard=True)
        with pytest.raises(ProtectedError):
            Letter.objects.all().delete()
        letter.text = "b"
        letter.save()
    assert one().changes == {"text": ["a", "b"]}


@pytest.mark.parametrize("write", ["save", "change", "update", "delete"])
def test_what_is_written_to_another_database_than_the_log_is_refused(settings: Any, write: str) -> None:
    letter = made(Letter, text="a")
    settings.EVENTS = settings.EVENTS | {"DATABASE": "log"}
    letter.text = "b"
    do: dict[str, Any] = {
        "save": lambda: Letter.objects.create(text="b"),
        "change": letter.save,
        "update": lambda: Letter.objects.update(text="b"),
        "delete": Letter.objects.all().delete,
    }
    with (
        pytest.raises(ValueError, match=r"tracked\.letter is tracked: .* database 'default'.* 'log'"),
        transaction.atomic(),
    ):
        do[write]()
    assert list(Letter.objects.values_list("text", flat=True)) == ["a"]


@pytest.mark.django_db(transaction=True)
def test_transactions_by_hand_are_recorded_and_nothing_is_guessed_after_a_rollback() -> None:
    letter = made(Letter, text="a")
    transaction.set_autocommit(False)
    try:
        for text in ("b", "c"):
            letter.text = text
            letter.save()
        transaction.commit()
        letter.text = "d"
        letter.save()
        transaction.rollback()
        letter.text = "a"
        letter.save()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    letter.text = "e"
    letter.save()
    changes = [(e.changes["text"], e.data) for e in entries()]
    assert changes[:2] == [(["a", "b"], {}), (["b", "c"], {})]
    assert changes[2][0] == [None, "a"], "the row may hold what was committed or what was before"
    assert "text" in changes[2][1]["old_unknown"]
    assert changes[3:] == [(["a", "e"], {})]
