"""The HTTP API of the audit log."""
