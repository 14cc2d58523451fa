"""An export as an answer to a request: written while it is read, in constant memory, under WSGI and under ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from audit.access import record_reading
from audit.models import AuditEntry
from audit.reading.export import Export
from audit.reading.formats import Format, encoded
from events.types import utcnow


def export_response(
    request: HttpRequest, form: Format, queryset: QuerySet[AuditEntry], asked: dict[str, str]
) -> StreamingHttpResponse | HttpResponse:
    """The entries in a format, as a download. `asked` is what the record of the export says was asked for.

    503 if it can't be recorded: nothing leaves unrecorded.
    """
    if not record_reading("exported", format=form.name, asked=asked):
        return HttpResponse("The export could not be recorded. Try again later.", status=503, content_type="text/plain")
    chunks = encoded(form, Export(queryset))
    # Django reads an iterator that is not asynchronous to its end before it sends anything, where an event loop runs.
    content = _asynchronous(chunks) if isinstance(request, ASGIRequest) else chunks
    name = f"audit-log-{utcnow():%Y-%m-%dT%H%M%SZ}.{form.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingHttpResponse(content, content_type=form.media_type, headers=headers)


async def _asynchronous(chunks: Generator[bytes]) -> AsyncIterator[bytes]:
    # In the request's own thread, whose database connection the cursor belongs to; also where the client goes away.
    read = sync_to_async(lambda: next(chunks, None))
    try:
        while (chunk := await read()) is not None:
            yield chunk
    finally:
        await sync_to_async(chunks.close)()
