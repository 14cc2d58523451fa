"""The addresses of the audit log's API."""

from __future__ import annotations

from django.urls import path

from audit.api.views import Entries, Entry, Export

urlpatterns = [
    path("audit/", Entries.as_view(), name="api-audit"),
    path("audit/export/", Export.as_view(), name="api-audit-export"),
    path("audit/<str:entry_id>/", Entry.as_view(), name="api-audit-entry"),
]
