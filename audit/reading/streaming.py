"""An export as an answer to a request: written while it is read, in constant memory, under WSGI and under ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from audit.access import record_reading
from audit.models import AuditEntry
from audit.reading.export import Export
from audit.reading.formats import Format, encoded
from events.types import utcnow

UNRECORDED: Final = "The export could not be recorded. Try again later."


def export_response(
    request: HttpRequest, form: Format, queryset: QuerySet[AuditEntry], asked: dict[str, str]
) -> StreamingHttpResponse | None:
    """The entries in a format, as a download; to HEAD the same without them. `asked` is what the record of the export says was asked for.

    None if it can't be recorded: nothing leaves unrecorded.
    """
    is_sent = request.method != "HEAD"
    if is_sent and not record_reading("exported", format=form.name, asked=asked):
        return None
    chunks = encoded(form, Export(queryset)) if is_sent else _nothing()
    # Django reads an iterator that is not asynchronous to its end before it sends anything, where an event loop runs.
    content = _asynchronous(chunks) if isinstance(request, ASGIRequest) else chunks
    name = f"audit-log-{utcnow():%Y-%m-%dT%H%M%SZ}.{form.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingHttpResponse(content, content_type=form.media_type, headers=headers)


def _nothing() -> Generator[bytes]:
    yield from ()


async def _asynchronous(chunks: Generator[bytes]) -> AsyncIterator[bytes]:
    # In the request's own thread, whose database connection the cursor belongs to; also where the client goes away.
    read = sync_to_async(lambda: next(chunks, None))
    try:
        while (chunk := await read()) is not None:
            yield chunk
    finally:
        await sync_to_async(chunks.close)()
