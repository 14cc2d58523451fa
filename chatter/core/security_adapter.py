"""Security events, by the path that existing code imports them from."""

from security.adapter import emit_account_event, emit_login_event, emit_rate_limit_exceeded, emit_suspicious_activity

__all__ = ["emit_account_event", "emit_login_event", "emit_rate_limit_exceeded", "emit_suspicious_activity"]
