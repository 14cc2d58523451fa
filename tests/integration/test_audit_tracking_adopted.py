"""Models with deletions, managers and references of a project's own kind work as they did, and are recorded."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.support.auditing import empty_log
from tests.support.databases import Databases, base_environment
from tests.support.recorded import entries, one
from tests.support.remote import DjangoProcess
from tests.support.tracked.adopted import Labelled, LabelledToo, Letter, Note

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


@pytest.mark.parametrize("model", [Labelled, LabelledToo])
def test_models_and_managers_whose_first_base_is_generic_are_recorded(model: Any) -> None:
    made(model, name="a")
    model.objects.update(name="b")
    assert one().changes == {"name": ["a", "b"]}


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
