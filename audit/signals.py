"""The signals that the audit log sends."""

from __future__ import annotations

from django.dispatch import Signal

# Changes of tracked models were recorded and are committed. `sender` is AuditEntry, `using` the database alias, `count` how many
# entries, `event_ids` the ids of the first of them (audit.tracking.scopes.MAX_IDS at most).
entries_recorded = Signal()
