"""Models as projects have them: with deletions, managers and references of their own kind."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from django.db import models

from audit.tracking.tracked import track
from tests.support.tracked.models import Key, Untracked

T = TypeVar("T")
UNLUCKY = 13


class Kept(models.Model):
    """Deleting marks the row."""

    is_gone = models.BooleanField(default=False)

    class Meta:
        abstract = True

    def delete(self) -> None:  # type: ignore[override]  # without the parameters, as many have it
        self.is_gone = True
        self.save(update_fields=["is_gone"])


class Note(Kept):
    text = models.CharField(max_length=50)


class KeptUnlessHard(models.Model):
    is_gone = models.BooleanField(default=False)

    class Meta:
        abstract = True

    def delete(self, using: str | None = None, keep_parents: bool = False, hard: bool = False) -> Any:
        if hard:
            return super().delete(using=using, keep_parents=keep_parents)
        self.is_gone = True
        self.save(update_fields=["is_gone"])
        return None

    def refresh_from_db(self, using: str | None = None, fields: Any = None) -> None:  # type: ignore[override]  # as before Django 5.1
        super().refresh_from_db(using, fields)


class Letter(KeptUnlessHard):
    text = models.CharField(max_length=50)


class Typed(Generic[T]):
    """A mixin whose layout is another than that of Django's classes."""


class TypedManager(Typed[int], models.Manager[Any]):
    pass


class Labelled(Typed[int], models.Model):
    name = models.CharField(max_length=50)

    objects = TypedManager()


class LabelledBase(Typed[int], models.Model):
    class Meta:
        abstract = True


class LabelledToo(LabelledBase):
    name = models.CharField(max_length=50)


def set_null_one_by_one(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    for obj in sub_objs:
        collector.add_field_update(field, None, [obj])


def set_null_at_once(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    collector.add_field_update(field, None, sub_objs)


class Loan(models.Model):
    by_default = models.ForeignKey(Untracked, null=True, default=None, on_delete=models.SET_DEFAULT, related_name="+")
    by_call = models.ForeignKey(Untracked, null=True, on_delete=models.SET(lambda: None), related_name="+")
    at_once = models.ForeignKey(Untracked, null=True, on_delete=set_null_at_once, related_name="+")
    one_by_one = models.ForeignKey(Untracked, null=True, on_delete=set_null_one_by_one, related_name="+")
    of_note = models.ForeignKey(Letter, null=True, default=None, on_delete=models.SET_DEFAULT, related_name="loans")
    filed = models.ForeignKey(Letter, null=True, on_delete=models.CASCADE, related_name="filed")
    next = models.ForeignKey("self", null=True, on_delete=models.CASCADE)


class Seal(models.Model):
    letter = models.ForeignKey(Letter, on_delete=models.PROTECT)


class Brittle(models.IntegerField):  # type: ignore[type-arg]
    """A column whose value 13 can be written, and not be recorded."""

    def get_prep_value(self, value: Any) -> Any:
        if value == UNLUCKY:
            raise ZeroDivisionError
        return value

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return value


class Fragile(models.Model):
    count = models.IntegerField(default=0)
    number = Brittle(default=0)


class Filtering(models.Manager[Any]):
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(is_gone=False).select_related("letter")


class Draft(models.Model):
    """Django itself sees no rows that are gone, and joins a table that may have none."""

    is_gone = models.BooleanField(default=False)
    letter = models.ForeignKey(Letter, null=True, on_delete=models.CASCADE)

    everything = models.Manager()
    objects = Filtering()

    class Meta:
        base_manager_name = "objects"


class Ring(models.Model):
    holds = models.ManyToManyField(Key)


for model in (Ring, Draft, Fragile, Loan, Note, Letter, Labelled, LabelledToo):
    track(model)
