"""Models for the tests of tracking."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import UserManager
from django.db import models

from audit.tracking.tracked import track
from tests.support.tracked.special import Named, Nameless, Pair, Special, Visit


class Tag(models.Model):
    name = models.CharField(max_length=50)


class Untracked(models.Model):
    name = models.CharField(max_length=50)


class ShoutingQuerySet(models.QuerySet["Article"]):
    def update(self, **kwargs: Any) -> int:
        return super().update(**{"shouts": 1} | kwargs)


class Article(models.Model):
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    count = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    published_at = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    took = models.DurationField(null=True)
    is_open = models.BooleanField(default=False)
    ratio = models.FloatField(null=True)
    key_of_import = models.UUIDField(default=uuid.UUID(int=0))
    extra = models.JSONField(default=dict)
    blob = models.BinaryField(null=True)
    file = models.FileField(null=True, blank=True)
    api_token = models.CharField(max_length=50, blank=True)
    email = models.CharField(max_length=50, blank=True)
    ssn = models.CharField(max_length=50, blank=True)
    noise = models.IntegerField(default=0)
    shouts = models.IntegerField(default=0)
    owner = models.ForeignKey(Untracked, null=True, on_delete=models.SET_NULL, related_name="articles")
    folder = models.ForeignKey(Untracked, null=True, on_delete=models.CASCADE, related_name="filed")
    tags = models.ManyToManyField(Tag, related_name="articles")
    friends = models.ManyToManyField("self")

    objects = models.Manager()
    shouting = ShoutingQuerySet.as_manager()

    def __str__(self) -> str:
        return self.title


class ArticleProxy(Article):
    class Meta:
        proxy = True


class Base(models.Model):
    name = models.CharField(max_length=50)


class Child(Base):
    size = models.IntegerField(default=0)


class Member(models.Model):
    name = models.CharField(max_length=50)
    groups = models.ManyToManyField(Tag, through="Membership", related_name="members")

    objects: Any = UserManager()  # one that migrations know of

    def __str__(self) -> str:
        return f"{self.name} of {Untracked._default_manager.count()}"


class Membership(models.Model):
    member = models.ForeignKey(Member, on_delete=models.CASCADE)
    tag = models.ForeignKey(Tag, on_delete=models.CASCADE)
    role = models.CharField(max_length=50, default="reader")


class Key(models.Model):
    key = models.CharField(max_length=50, primary_key=True)
    note = models.CharField(max_length=50, blank=True)

    def __str__(self) -> str:
        return self.key


track(Article, mask=["email"], hash=["ssn"], exclude=["noise"])
for model in (Base, Member, Membership, Key, Special, Pair, Named, Visit):
    track(model)
track(Nameless, exclude=["id"], mask=["contact"], label=lambda instance: None)  # type: ignore[arg-type, return-value]

from tests.support.tracked import adopted  # noqa: E402, F401  more of them
