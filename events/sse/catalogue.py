"""The known event types, and what the data of each must hold. Keys that a payload does not name are allowed."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from events.exceptions import InvalidEvent
from events.types import MAX_LABEL_LENGTH, EventPriority, shown


class EventType(StrEnum):
    """The types that `sse_service` knows. Events of other types are emitted with `events.emit_realtime_event`."""

    BACKUP_STARTED = "backup.started"
    BACKUP_COMPLETED = "backup.completed"
    BACKUP_FAILED = "backup.failed"
    BACKUP_PROGRESS = "backup.progress"
    JOB_STARTED = "job.started"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_PROGRESS = "job.progress"
    TOOL_SERVER_STARTED = "tool_server.started"
    TOOL_SERVER_STOPPED = "tool_server.stopped"
    TOOL_SERVER_HEALTH_CHANGED = "tool_server.health_changed"
    DOCUMENT_UPLOADED = "document.uploaded"
    DOCUMENT_PROCESSING_STARTED = "document.processing_started"
    DOCUMENT_PROCESSING_PROGRESS = "document.processing_progress"
    DOCUMENT_PROCESSING_COMPLETED = "document.processing_completed"
    DOCUMENT_PROCESSING_FAILED = "document.processing_failed"
    SYSTEM_ALERT = "system.alert"


def _key_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, uuid.UUID)) and not isinstance(value, bool) else value


# Primary keys may be given as integers or UUIDs; browsers get text.
Key = Annotated[str, BeforeValidator(_key_as_text), Field(min_length=1, max_length=MAX_LABEL_LENGTH)]
Text = Annotated[str, Field(min_length=1)]
Percent = Annotated[float, Field(ge=0, le=100)]


class Payload(BaseModel):
    """The data of a type. Values are taken as they are: the text "50" is not a number."""

    model_config = ConfigDict(strict=True, extra="allow")


class Backup(Payload):
    backup_id: Key


class BackupCompleted(Backup):
    backup_path: Text | None = None


class BackupFailed(Backup):
    error: Text


class BackupProgress(Backup):
    progress: Percent
    status: Text | None = None


class Job(Payload):
    job_id: Key
    job_name: Text | None = None


class JobCompleted(Job):
    result: dict[str, Any] | None = None


class JobFailed(Job):
    error: Text


class JobProgress(Job):
    progress: Percent
    status: Text | None = None


class ToolServer(Payload):
    server_id: Key
    server_name: Text | None = None


class ToolServerHealth(ToolServer):
    health_status: Text
    details: dict[str, Any] | None = None


class Document(Payload):
    document_id: Key


class DocumentUploaded(Document):
    filename: Text | None = None


class DocumentProgress(Document):
    progress: Percent
    status: Text | None = None


class DocumentCompleted(Document):
    chunks_created: Annotated[int, Field(ge=0)] | None = None
    # Seconds.
    processing_time: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class DocumentFailed(Document):
    error: Text


class Alert(Payload):
    message: Text
    severity: Text | None = None


PAYLOADS: Final[dict[EventType, type[Payload]]] = {
    EventType.BACKUP_STARTED: Backup,
    EventType.BACKUP_COMPLETED: BackupCompleted,
    EventType.BACKUP_FAILED: BackupFailed,
    EventType.BACKUP_PROGRESS: BackupProgress,
    EventType.JOB_STARTED: Job,
    EventType.JOB_COMPLETED: JobCompleted,
    EventType.JOB_FAILED: JobFailed,
    EventType.JOB_PROGRESS: JobProgress,
    EventType.TOOL_SERVER_STARTED: ToolServer,
    EventType.TOOL_SERVER_STOPPED: ToolServer,
    EventType.TOOL_SERVER_HEALTH_CHANGED: ToolServerHealth,
    EventType.DOCUMENT_UPLOADED: DocumentUploaded,
    EventType.DOCUMENT_PROCESSING_STARTED: Document,
    EventType.DOCUMENT_PROCESSING_PROGRESS: DocumentProgress,
    EventType.DOCUMENT_PROCESSING_COMPLETED: DocumentCompleted,
    EventType.DOCUMENT_PROCESSING_FAILED: DocumentFailed,
    EventType.SYSTEM_ALERT: Alert,
}

# Of normal priority is what is not here. Progress is soon outdated, so it is the first to be shed under overload. A failed
# backup or an alert concerns the whole system; a failed job or document is the ordinary news of one user.
PRIORITIES: Final[dict[EventType, EventPriority]] = {
    EventType.BACKUP_PROGRESS: EventPriority.LOW,
    EventType.JOB_PROGRESS: EventPriority.LOW,
    EventType.DOCUMENT_PROCESSING_PROGRESS: EventPriority.LOW,
    EventType.BACKUP_FAILED: EventPriority.HIGH,
    EventType.SYSTEM_ALERT: EventPriority.HIGH,
}


def parse_event_type(value: EventType | str) -> EventType:
    """The known type that `value` names. Raises InvalidEvent."""
    try:
        return EventType(value if isinstance(value, str) else shown(value))
    except ValueError:
        reason = f"{shown(value)} is not a known type; events of your own are emitted with emit_realtime_event"
        raise InvalidEvent("event_type", reason) from None


def priority_of(event_type: EventType) -> EventPriority:
    """The priority that events of a known type have unless said otherwise."""
    return PRIORITIES.get(event_type, EventPriority.NORMAL)


def validate_event_data(event_type: EventType | str, data: dict[str, Any]) -> dict[str, Any]:
    """The data of a known type, as a new dictionary in which ids are text.

    Raises InvalidEvent that names the first wrong or missing key (`data.document_id`), or the type if it is not known.
    """
    payload = PAYLOADS[parse_event_type(event_type)]
    if not isinstance(data, dict):
        raise InvalidEvent("data", f"must be a dictionary (in JSON: an object), not {type(data).__name__}")
    try:
        checked = payload.model_validate(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidEvent(".".join(("data", *map(str, problem["loc"]))), problem["msg"]) from None
    return data | {name: getattr(checked, name) for name in payload.model_fields.keys() & data.keys()}
