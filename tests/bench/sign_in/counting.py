"""An authentication backend that counts the passwords it is asked to check. Needs only Django: it runs beside each contestant."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

checked: list[str] = []


class Counting(ModelBackend):
    """Django's own, counting."""

    def authenticate(self, request: Any, username: str | None = None, password: str | None = None, **kwargs: Any) -> Any:
        """As Django asks."""
        checked.append(str(username))
        return super().authenticate(request, username=username, password=password, **kwargs)
