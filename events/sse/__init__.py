"""The specialised API that was there before: known event types with checked payloads, and a helper for each."""

from events.sse.catalogue import EventType, validate_event_data
from events.sse.service import SSEService, sse_service
from events.sse.triggers import (
    trigger_backup_completed,
    trigger_backup_failed,
    trigger_backup_progress,
    trigger_backup_started,
    trigger_document_processing_completed,
    trigger_document_processing_failed,
    trigger_document_processing_progress,
    trigger_document_processing_started,
    trigger_document_uploaded,
    trigger_job_completed,
    trigger_job_failed,
    trigger_job_progress,
    trigger_job_started,
    trigger_tool_server_health_changed,
    trigger_tool_server_started,
    trigger_tool_server_stopped,
)

__all__ = [
    "EventType",
    "SSEService",
    "sse_service",
    "trigger_backup_completed",
    "trigger_backup_failed",
    "trigger_backup_progress",
    "trigger_backup_started",
    "trigger_document_processing_completed",
    "trigger_document_processing_failed",
    "trigger_document_processing_progress",
    "trigger_document_processing_started",
    "trigger_document_uploaded",
    "trigger_job_completed",
    "trigger_job_failed",
    "trigger_job_progress",
    "trigger_job_started",
    "trigger_tool_server_health_changed",
    "trigger_tool_server_started",
    "trigger_tool_server_stopped",
    "validate_event_data",
]
