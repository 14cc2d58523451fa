"""Models whose fields and texts do what projects have them do."""

from __future__ import annotations

import json
import os
from typing import Any

from django.db import models


class JsonTextField(models.TextField):  # type: ignore[type-arg]
    """Text in the database, an object in Python."""

    def from_db_value(self, value: Any, *args: Any) -> Any:
        return None if value is None else json.loads(value)

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else json.dumps(value)


class SaltedField(models.BinaryField):  # type: ignore[type-arg]
    """Written with a random prefix: never the same bytes twice."""

    def from_db_value(self, value: Any, *args: Any) -> Any:
        return None if value is None else json.loads(bytes(value)[8:])

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else os.urandom(8) + json.dumps(value).encode()


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """As the field packages have it: encrypted on the way to the database."""

    def from_db_value(self, value: str, *args: Any) -> str:
        return value[::-1]

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        return value[::-1]


class LowerField(models.CharField):  # type: ignore[type-arg]
    """Writes something else than the object has, and does not tell it."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return getattr(model_instance, self.attname).strip().lower()


class Special(models.Model):
    conf = JsonTextField(default=dict)
    salted = SaltedField(default=dict)
    diagnosis = EncryptedTextField(default="")
    lower = LowerField(max_length=50, default="")


class Pair(models.Model):
    pk = models.CompositePrimaryKey("left", "right")
    left = models.IntegerField()
    right = models.IntegerField()
    note = models.CharField(max_length=50, default="")


class Named(models.Model):
    kind = models.CharField(max_length=50)
    slug = models.CharField(max_length=50, blank=True)
    pin = models.IntegerField(default=1234)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slug = self.slug or self.kind

    def __str__(self) -> str:
        return {"none": None, "pin": f"pin {self.pin}"}[self.kind]  # type: ignore[return-value]


class Nameless(models.Model):
    """Tracked without its key."""

    note = models.CharField(max_length=50)
    contact = models.CharField(max_length=50, blank=True)


class Employee(Nameless):
    """Its `contact` is the parent's, and masked as there."""

    grade = models.IntegerField(default=0)


class Safe(models.Model):
    """Not tracked."""

    name = models.CharField(max_length=50)
    api_key = models.CharField(max_length=50)


class Visit(models.Model):
    by = models.ForeignKey(Nameless, on_delete=models.CASCADE)
    safe = models.ForeignKey(Safe, on_delete=models.CASCADE)
    done = models.BooleanField(default=False)
