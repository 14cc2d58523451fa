"""Who may read and export the audit log: the same permissions as in the admin."""

from __future__ import annotations

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from events.access import is_staff, may

VIEW = "audit.view_auditentry"
EXPORT = "audit.export_auditentry"


class MayView(BasePermission):
    """Staff with the permission to view the log."""

    message = f"Reading the audit log takes a staff account with the permission {VIEW}."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return is_staff(request.user) and may(request.user, VIEW)


class MayExport(BasePermission):
    """Staff with the permission to export the log; `MayView` goes before it."""

    message = f"Exporting the audit log takes the permission {EXPORT}."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return may(request.user, EXPORT)
