"""Two models of users, of which the settings choose one (`MEMBERS_USER`)."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models

from audit.tracking.tracked import track


class MemberManager(BaseUserManager[Any]):
    """Makes members."""

    def create_user(self, email: str, password: str | None = None, **values: Any) -> Any:
        """A member that is stored."""
        user = self.model(email=self.normalize_email(email), **values)
        user.set_password(password)
        user.save(using=self._db)
        return user


class AbstractMember(AbstractBaseUser):
    """Who signs in by an e-mail address, and may be locked."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    is_locked = models.BooleanField(default=False)

    objects = MemberManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.email)


class Member(AbstractMember):
    """Without staff, permissions and groups."""


class Keeper(AbstractMember):
    """As Django's documentation has it: with one flag, from which follows what the admin asks for."""

    is_admin = models.BooleanField(default=False)

    @property
    def is_staff(self) -> bool:
        """Whether the admin lets them in."""
        return self.is_admin

    def has_perm(self, permission: str, obj: Any = None) -> bool:
        """Admins may do everything."""
        return self.is_admin and self.is_active

    def has_module_perms(self, label: str) -> bool:
        """As `has_perm`."""
        return self.is_admin and self.is_active


track(Member)
track(Keeper)
