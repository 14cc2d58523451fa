"""Migrations that alter the tables of the audit log."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.migrations.state import ProjectState

from audit.evidence import triggers


class ProtectedMigration(migrations.Migration):
    """A migration of the audit log's tables. The triggers are lifted within its own transaction: no other process ever sees the log
    without them, and a migration that fails leaves them as they were."""

    def apply(self, project_state: ProjectState, schema_editor: Any, collect_sql: bool = False) -> ProjectState:
        """As Django's."""
        if collect_sql:
            return super().apply(project_state, schema_editor, collect_sql)
        with triggers.lifted(schema_editor.connection):
            return super().apply(project_state, schema_editor)

    def unapply(self, project_state: ProjectState, schema_editor: Any, collect_sql: bool = False) -> ProjectState:
        """As Django's."""
        if collect_sql:
            return super().unapply(project_state, schema_editor, collect_sql)
        with triggers.lifted(schema_editor.connection):
            return super().unapply(project_state, schema_editor)
