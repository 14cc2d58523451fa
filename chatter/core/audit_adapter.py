"""Audit events, by the path that existing code imports them from."""

from audit.adapter import emit_authentication_audit, emit_resource_audit, emit_security_audit

__all__ = ["emit_authentication_audit", "emit_resource_audit", "emit_security_audit"]
