"""An entry in the terms of the Open Cybersecurity Schema Framework 1.3 (https://schema.ocsf.io), which SIEMs read.

Logins are Authentication (3002), what was done to a resource is Entity Management (3004), the rest is API Activity (6003). What
has no attribute there goes, by our names, into `unmapped`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from audit.evidence.canonical import MALFORMED, Row

VERSION: Final = "1.3.0"
AUTHENTICATION: Final = 3002
ENTITY_MANAGEMENT: Final = 3004
API_ACTIVITY: Final = 6003
CLASSES: Final = {
    AUTHENTICATION: (3, "Identity & Access Management", "Authentication"),
    ENTITY_MANAGEMENT: (3, "Identity & Access Management", "Entity Management"),
    API_ACTIVITY: (6, "Application Activity", "API Activity"),
}
OTHER: Final = 99
LOGINS: Final = {
    "login": 1,
    "login_success": 1,
    "login_failure": 1,
    "login_failed": 1,
    "logged_in": 1,
    "logout": 2,
    "logged_out": 2,
}
ENTITY_ACTIONS: Final = {
    "create": 1, "created": 1, "add": 1, "insert": 1, "read": 2, "view": 2, "search": 2, "export": 2,
    "update": 3, "updated": 3, "change": 3, "delete": 4, "deleted": 4, "bulk_delete": 4, "purge": 4,
}  # fmt: skip
SEVERITIES: Final = {"low": 1, "normal": 1, "high": 4, "critical": 5}
STATUSES: Final = {"success": (1, "Success"), "failure": (2, "Failure"), "denied": (2, "Failure")}
UNMAPPED: Final = ("source_category", "user_id", "impersonator", "changes", "data", "metadata", MALFORMED)


def as_ocsf(row: Row, seal: int | None = None, digest: str = "") -> dict[str, Any]:
    """The event of a row (`audit.evidence.rows.texts`), for `orjson.dumps`, with its seal and the digest that this holds of it. Parts that are
    not known are left out."""
    class_uid, activity_id = classified(row)
    category_uid, category_name, class_name = CLASSES[class_uid]
    status_id, status = STATUSES.get(row["outcome"], (0, "Unknown"))
    event = {
        "class_uid": class_uid,
        "class_name": class_name,
        "category_uid": category_uid,
        "category_name": category_name,
        "activity_id": activity_id,
        "type_uid": class_uid * 100 + activity_id,
        "activity_name": row["action"],
        "severity_id": SEVERITIES.get(row["priority"], 0),
        "time": _milliseconds(row["timestamp"]),
        "status_id": status_id,
        "status": status,
        "status_detail": row["outcome"],
        "message": row["event_type"],
        "metadata": _metadata(row),
        "actor": {"user": _user(row["actor_label"], row["actor_id"] or row["user_id"])},
        "src_endpoint": _given(ip=row["ip_address"]),
        "http_request": _given(user_agent=row["user_agent"]),
        "unmapped": _given(**{name: row.get(name) for name in UNMAPPED}, seal=seal, digest=digest),
    }
    return event | _about(class_uid, row)


def classified(row: Row) -> tuple[int, int]:
    """The class of a row, and its activity within the class."""
    action, subject = row["action"], row["event_type"].partition(".")[0]
    if subject in ("auth", "security") and action in LOGINS:
        return AUTHENTICATION, LOGINS[action]
    if row["resource_type"] and row["resource_id"]:
        return ENTITY_MANAGEMENT, ENTITY_ACTIONS.get(action, OTHER)
    return API_ACTIVITY, ENTITY_ACTIONS.get(action, OTHER)


def _about(class_uid: int, row: Row) -> dict[str, Any]:
    """What the class asks for beyond the rest."""
    if class_uid == AUTHENTICATION:
        return {"user": _user(row["actor_label"], row["user_id"])} | _given(session=_given(uid=row["session_id"]))
    if class_uid == ENTITY_MANAGEMENT:
        return {"entity": _given(type=row["resource_type"], uid=row["resource_id"], name=row["resource_label"])}
    return {"api": {"operation": row["event_type"]}}


def _milliseconds(moment: str) -> int | None:
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1_000)
    except ValueError:  # somebody changed it
        return None


def _metadata(row: Row) -> dict[str, Any]:
    product = {"name": "Chatter events", "vendor_name": "Chatter"}
    given = _given(correlation_uid=row["correlation_id"])
    return {
        "version": VERSION,
        "product": product,
        "uid": row["event_id"],
        "sequence": row["id"],
        "log_name": "audit_log",
    } | given


def _user(name: str, uid: str | None) -> dict[str, Any]:
    return _given(name=name, uid=uid) or {"name": "unknown"}


def _given(**parts: Any) -> dict[str, Any]:
    """The parts that are not empty."""
    return {name: value for name, value in parts.items() if value not in (None, "", {})}
