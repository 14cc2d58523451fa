"""Who may do what, beyond being signed in."""

from __future__ import annotations

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

ADD_PERMISSION = "events.add_journalentry"


class MayEmit(BasePermission):
    """Reading is for all who are signed in. Emitting is for superusers, and for staff with `events.add_journalentry`."""

    message = f"Emitting events takes a staff account with the permission {ADD_PERMISSION}."

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        return request.method in SAFE_METHODS or bool(user.is_superuser or (user.is_staff and user.has_perm(ADD_PERMISSION)))
