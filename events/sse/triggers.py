"""One helper for each known event type. `progress` is in percent; without a `user_id` an event is for every signed-in user.

All return what `sse_service.trigger_event` returns, and raise what it raises.
"""

from __future__ import annotations

from typing import Any

from events.parts import merged
from events.sse.catalogue import EventType
from events.sse.service import sse_service

Key = str | int


async def trigger_backup_started(backup_id: Key, user_id: Key | None = None) -> bool:
    """A backup began."""
    return await _trigger(EventType.BACKUP_STARTED, {"backup_id": backup_id}, user_id)


async def trigger_backup_completed(backup_id: Key, backup_path: str | None = None, user_id: Key | None = None) -> bool:
    """A backup is complete, and where it is."""
    return await _trigger(EventType.BACKUP_COMPLETED, {"backup_id": backup_id, "backup_path": backup_path}, user_id)


async def trigger_backup_failed(backup_id: Key, error: str, user_id: Key | None = None) -> bool:
    """A backup failed, and why. Of high priority."""
    return await _trigger(EventType.BACKUP_FAILED, {"backup_id": backup_id, "error": error}, user_id)


async def trigger_backup_progress(backup_id: Key, progress: float, status: str | None = None, user_id: Key | None = None) -> bool:
    """How far a backup is. Of low priority."""
    return await _trigger(EventType.BACKUP_PROGRESS, {"backup_id": backup_id, "progress": progress, "status": status}, user_id)


async def trigger_job_started(job_id: Key, job_name: str | None = None, user_id: Key | None = None) -> bool:
    """A job began."""
    return await _trigger(EventType.JOB_STARTED, {"job_id": job_id, "job_name": job_name}, user_id)


async def trigger_job_completed(
    job_id: Key, job_name: str | None = None, result: dict[str, Any] | None = None, user_id: Key | None = None
) -> bool:
    """A job is done, and what it gave."""
    return await _trigger(EventType.JOB_COMPLETED, {"job_id": job_id, "job_name": job_name, "result": result}, user_id)


async def trigger_job_failed(job_id: Key, job_name: str | None, error: str, user_id: Key | None = None) -> bool:
    """A job failed, and why."""
    return await _trigger(EventType.JOB_FAILED, {"job_id": job_id, "job_name": job_name, "error": error}, user_id)


async def trigger_job_progress(
    job_id: Key, job_name: str | None, progress: float, status: str | None = None, user_id: Key | None = None
) -> bool:
    """How far a job is. Of low priority."""
    return await _trigger(
        EventType.JOB_PROGRESS, {"job_id": job_id, "job_name": job_name, "progress": progress, "status": status}, user_id
    )


async def trigger_tool_server_started(server_id: Key, server_name: str | None = None, user_id: Key | None = None) -> bool:
    """A tool server runs."""
    return await _trigger(EventType.TOOL_SERVER_STARTED, {"server_id": server_id, "server_name": server_name}, user_id)


async def trigger_tool_server_stopped(server_id: Key, server_name: str | None = None, user_id: Key | None = None) -> bool:
    """A tool server runs no longer."""
    return await _trigger(EventType.TOOL_SERVER_STOPPED, {"server_id": server_id, "server_name": server_name}, user_id)


async def trigger_tool_server_health_changed(
    server_id: Key,
    server_name: str | None,
    health_status: str,
    details: dict[str, Any] | None = None,
    user_id: Key | None = None,
) -> bool:
    """A tool server's health is another than before."""
    return await _trigger(
        EventType.TOOL_SERVER_HEALTH_CHANGED,
        {"server_id": server_id, "server_name": server_name, "health_status": health_status, "details": details},
        user_id,
    )


async def trigger_document_uploaded(document_id: Key, filename: str | None = None, user_id: Key | None = None) -> bool:
    """A document was uploaded."""
    return await _trigger(EventType.DOCUMENT_UPLOADED, {"document_id": document_id, "filename": filename}, user_id)


async def trigger_document_processing_started(document_id: Key, user_id: Key | None = None) -> bool:
    """A document's processing began."""
    return await _trigger(EventType.DOCUMENT_PROCESSING_STARTED, {"document_id": document_id}, user_id)


async def trigger_document_processing_progress(
    document_id: Key, progress: float, status: str | None = None, user_id: Key | None = None
) -> bool:
    """How far a document's processing is. Of low priority."""
    return await _trigger(
        EventType.DOCUMENT_PROCESSING_PROGRESS, {"document_id": document_id, "progress": progress, "status": status}, user_id
    )


async def trigger_document_processing_completed(
    document_id: Key, result: dict[str, Any] | None = None, user_id: Key | None = None
) -> bool:
    """A document is processed. The keys of `result`, such as `chunks_created` and `processing_time` (seconds), join the data."""
    return await _trigger(EventType.DOCUMENT_PROCESSING_COMPLETED, merged(result, document_id=document_id), user_id)


async def trigger_document_processing_failed(document_id: Key, error: str, user_id: Key | None = None) -> bool:
    """A document could not be processed, and why."""
    return await _trigger(EventType.DOCUMENT_PROCESSING_FAILED, {"document_id": document_id, "error": error}, user_id)


async def _trigger(event_type: EventType, data: Any, user_id: Key | None) -> bool:
    given = {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data
    return await sse_service.trigger_event(event_type, given, user_id=user_id)
