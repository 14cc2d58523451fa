"""Who may do what, beyond being signed in."""

from __future__ import annotations

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from events.access import is_staff


class IsStaff(BasePermission):
    """For staff, by any model of users."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return is_staff(request.user)


class MayEmit(BasePermission):
    """Reading is for all who are signed in, emitting for staff. Who emitted is noted: nobody can do it in another's name."""

    message = "Emitting events takes a staff account."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in SAFE_METHODS or is_staff(request.user)
