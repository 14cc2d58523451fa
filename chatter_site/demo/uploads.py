"""Takes an upload in: what can't be a text file is refused before anything is stored."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.template.defaultfilters import filesizeformat

from chatter_site.demo.models import Document
from chatter_site.demo.notices import announce
from chatter_site.demo.processing import start_processing
from events.sse import EventType

MAX_UPLOAD_BYTES = 2 * 1024 * 1024


def upload(owner: User, file: UploadedFile[Any] | None) -> Document:
    """Store an uploaded text file as a document and have it processed once the transaction is committed.

    Raises ValidationError, with a sentence for the user, for no file, an empty or too large one, or one that isn't UTF-8 text.
    """
    name, text, size = _read(file)
    with transaction.atomic():
        document = Document.objects.create(owner=owner, name=name, size=size)
        announce(EventType.DOCUMENT_UPLOADED, document, size=size)
        transaction.on_commit(lambda: start_processing(document.pk, text))
    return document


def _read(file: UploadedFile[Any] | None) -> tuple[str, str, int]:
    if file is None:
        raise ValidationError("Choose a text file to upload.")
    name = _printable(file.name or "")[:255] or "untitled"
    if (file.size or 0) > MAX_UPLOAD_BYTES:
        raise ValidationError(f"“{name}” is too large: at most {filesizeformat(MAX_UPLOAD_BYTES)} are allowed.")
    content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValidationError(f"“{name}” is not a text file in UTF-8.") from None
    if "\0" in text:
        raise ValidationError(f"“{name}” is not a text file: it holds binary data.")
    if not text.strip():
        raise ValidationError(f"“{name}” is empty.")
    return name, text, len(content)


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable()).strip()
