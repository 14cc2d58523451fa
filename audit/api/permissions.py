"""Who may read and export the audit log: the same permissions as in the admin."""

from __future__ import annotations

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

VIEW = "audit.view_auditentry"
EXPORT = "audit.export_auditentry"


class MayView(BasePermission):
    """Staff with the permission to view the log."""

    message = f"Reading the audit log takes a staff account with the permission {VIEW}."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user.is_staff and request.user.has_perm(VIEW))


class MayExport(BasePermission):
    """Staff with the permission to export the log; `MayView` goes before it."""

    message = f"Exporting the audit log takes the permission {EXPORT}."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user.has_perm(EXPORT))
