"""Uploading: a real file is really split, each step is an event, and what is no text file leaves nothing behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from chatter_site.demo import processing
from chatter_site.demo.models import Chunk, Document
from chatter_site.demo.uploads import MAX_UPLOAD_BYTES
from chatter_site.demo.views import DOCUMENTS_SHOWN
from events.models import JournalEntry
from events.testing import wait_published
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

JSON = {"HTTP_ACCEPT": "application/json"}
TEXT = "\n\n".join(f"Paragraph {n}. " + "It says a little more than nothing. " * 20 for n in range(60))


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def client(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def mallory() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("mallory"))
    return client


def post(client: Client, content: bytes, name: str = "notes.txt", **extra: Any) -> HttpResponse:
    return client.post("/documents/", {"file": SimpleUploadedFile(name, content)}, **(JSON | extra))


def uploaded(client: Client, content: bytes = TEXT.encode(), name: str = "notes.txt") -> Document:
    response = post(client, content, name)
    assert response.status_code == 201, response.content
    return finished(Document.objects.get(pk=response.json()["document"]["id"]))


def finished(document: Document) -> Document:
    def look() -> bool:
        document.refresh_from_db()
        return document.is_finished

    wait_for(look)
    return document


def told() -> list[dict[str, Any]]:
    """The documents' events in the journal, oldest first."""
    wait_published()
    rows = JournalEntry.objects.filter(event_type__startswith="document.").order_by("position")
    return [{"type": row.event_type, "user_id": row.user_id, "audience": row.audience, **row.event.data} for row in rows]


def test_an_upload_is_split_into_chunks_that_hold_the_whole_text(client: Client) -> None:
    document = uploaded(client)

    chunks = list(document.chunks.all())
    assert document.status == Document.Status.COMPLETED
    assert document.chunk_count == len(chunks) > 40
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    together = "".join(chunk.text for chunk in chunks)
    assert all(f"Paragraph {n}." in together for n in range(60))


def test_each_step_is_an_event_for_the_owner(client: Client, alice: User) -> None:
    document = uploaded(client)

    steps = told()
    kinds = [step["type"].removeprefix("document.") for step in steps]
    assert kinds == ["uploaded", "processing_started", *["processing_progress"] * (len(steps) - 3), "processing_completed"]
    assert {step["document_id"] for step in steps} == {str(document.pk)}
    assert {step["filename"] for step in steps} == {"notes.txt"}
    assert {step["audience"] for step in steps} == {f"user:{alice.pk}"}
    progress = [step["progress"] for step in steps[2:-1]]
    assert progress == sorted(progress)
    assert progress[-1] == 100
    assert 5 < len(progress) <= processing.STEPS
    assert steps[-1]["chunks_created"] == document.chunk_count
    assert steps[-1]["processing_time"] >= 0


def test_all_events_of_an_upload_share_the_requests_correlation(client: Client) -> None:
    response = post(client, TEXT.encode(), headers={"X-Correlation-ID": "upload-1"})
    finished(Document.objects.get(pk=response.json()["document"]["id"]))
    wait_published()

    rows = JournalEntry.objects.filter(event_type__startswith="document.")
    assert {row.correlation_id for row in rows} == {"upload-1"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n\t \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\x89PNG\r\n\x1a\n\xff", "is not a text file in UTF-8"),
        ("Grüße".encode("latin-1"), "is not a text file in UTF-8"),
        (b"text\0with\0nul", "holds binary data"),
        (b"x" * (MAX_UPLOAD_BYTES + 1), "is too large: at most 2.0"),
    ],
    ids=["empty", "blank", "bom", "png", "latin-1", "nul", "large"],
)
def test_what_is_no_text_file_is_refused_and_leaves_nothing(client: Client, content: bytes, said: str) -> None:
    response = post(client, content, "odd.bin")

    assert response.status_code == 400
    answer = response.json()
    assert (answer["error"], answer["field"]) == ("invalid", "file")
    assert "“odd.bin”" in answer["detail"]
    assert said in answer["detail"]
    assert not Document.objects.exists()
    assert told() == []


def test_an_upload_without_a_file_is_refused(client: Client) -> None:
    response = client.post("/documents/", {"file": "just text"}, **JSON)
    assert response.status_code == 400
    assert response.json()["detail"] == "Choose a text file to upload."


def test_a_file_of_exactly_the_largest_size_is_taken(client: Client) -> None:
    assert uploaded(client, (b"word " * MAX_UPLOAD_BYTES)[:MAX_UPLOAD_BYTES]).size == MAX_UPLOAD_BYTES


def test_without_javascript_the_page_comes_back_and_shows_the_problem(client: Client) -> None:
    response = client.post(
        "/documents/", {"file": SimpleUploadedFile("cv.pdf", b"%PDF\xff")}, headers={"Accept": "text/html"}, follow=True
    )
    assert "“cv.pdf” is not a text file in UTF-8." in response.content.decode()


def test_a_hostile_file_name_is_text_on_every_page(client: Client) -> None:
    name = "<img src=x onerror=alert(1)>.txt"
    document = uploaded(client, b"<script>alert(2)</script>", name)

    assert document.name == name
    for address in ("/", document.get_absolute_url()):
        page = client.get(address).content.decode()
        assert "<img src=x" not in page
        assert "<script>alert" not in page
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in page


def test_an_upload_that_is_rolled_back_is_neither_processed_nor_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr("chatter_site.demo.uploads.transaction.on_commit", break_off)
    client.raise_request_exception = False
    assert post(client, b"text").status_code == 500
    assert not Document.objects.exists()
    assert told() == []


def test_a_document_that_cannot_be_stored_fails_and_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(Chunk.objects, "bulk_create", refuse)
    document = uploaded(client)

    assert document.status == Document.Status.FAILED
    assert "could not be stored" in document.error
    assert told()[-1]["type"] == "document.processing_failed"
    assert told()[-1]["error"] == document.error


def test_a_document_that_is_deleted_while_it_is_processed_leaves_nothing(client: Client, alice: User, caplog: Any) -> None:
    document = Document.objects.create(owner=alice, name="gone.txt", size=1)
    number = document.pk
    document.delete()

    processing.start_processing(number, TEXT).result()
    assert not Chunk.objects.exists()
    assert [step["type"] for step in told()] == ["document.deleted"]
    assert not caplog.records


@pytest.mark.parametrize("status", [Document.Status.UPLOADED, Document.Status.PROCESSING])
def test_what_a_crash_left_unfinished_is_failed_when_its_owner_looks(client: Client, alice: User, status: str) -> None:
    document = Document.objects.create(owner=alice, name="half.txt", size=9, status=status, progress=40, chunk_count=1)
    Chunk.objects.create(document=document, index=0, text="half")
    Document.objects.update(updated_at=timezone.now() - processing.ABANDONED_AFTER - timedelta(seconds=1))

    listed = client.get("/documents/").json()["documents"]
    assert [(entry["status"], entry["error"]) for entry in listed] == [("failed", processing.INTERRUPTED)]
    assert not Chunk.objects.exists()
    assert told()[-1]["type"] == "document.processing_failed"


def test_what_a_crash_left_unfinished_is_failed_on_its_own_page_too(client: Client, alice: User) -> None:
    document = Document.objects.create(owner=alice, name="half.txt", size=9, status=Document.Status.PROCESSING)
    Document.objects.update(updated_at=timezone.now() - processing.ABANDONED_AFTER - timedelta(seconds=1))
    assert processing.INTERRUPTED in client.get(document.get_absolute_url()).content.decode()


def test_what_is_being_processed_elsewhere_is_left_alone(client: Client, alice: User) -> None:
    Document.objects.create(owner=alice, name="busy.txt", size=9, status=Document.Status.PROCESSING)
    assert client.get("/documents/").json()["documents"][0]["status"] == "processing"


def test_a_user_sees_their_own_documents_only(client: Client, mallory: Client) -> None:
    document = uploaded(client)

    assert mallory.get("/documents/").json() == {"documents": [], "total": 0}
    assert "notes.txt" not in mallory.get("/").content.decode()
    assert mallory.get(document.get_absolute_url()).status_code == 404
    assert mallory.post(f"/documents/{document.pk}/delete/").status_code == 404
    assert Document.objects.count() == 1


@pytest.mark.parametrize("more", [0, 3])
def test_of_many_documents_the_newest_are_listed_and_all_are_counted(client: Client, alice: User, more: int) -> None:
    total = DOCUMENTS_SHOWN + more
    Document.objects.bulk_create(Document(owner=alice, name=f"{n}.txt", size=1, status="completed") for n in range(total))

    answer = client.get("/documents/").json()
    assert [document["name"] for document in answer["documents"]] == [f"{n}.txt" for n in reversed(range(more, total))]
    assert answer["total"] == total


def test_the_chunks_are_shown_a_page_at_a_time(client: Client) -> None:
    document = uploaded(client)

    first = client.get(document.get_absolute_url()).content.decode()
    last = client.get(document.get_absolute_url() + "?page=2").content.decode()
    assert "Paragraph 0." in first
    assert "Paragraph 59." not in first
    assert "Paragraph 59." in last
    assert f"#{document.chunk_count}<" in last


def test_an_unfinished_document_opens_a_stream_and_a_finished_one_does_not(client: Client, alice: User) -> None:
    document = Document.objects.create(owner=alice, name="a.txt", size=1)
    assert "chatterEvents-settings" in client.get(document.get_absolute_url()).content.decode()
    Document.objects.update(status=Document.Status.COMPLETED)
    assert "chatterEvents-settings" not in client.get(document.get_absolute_url()).content.decode()


def test_deleting_a_document_takes_its_chunks_and_tells_its_owner(client: Client, alice: User) -> None:
    document = uploaded(client)

    assert client.post(f"/documents/{document.pk}/delete/", **JSON).status_code == 204
    assert not Chunk.objects.exists()
    assert told()[-1] == {
        "type": "document.deleted", "user_id": str(alice.pk), "audience": f"user:{alice.pk}",
        "document_id": str(document.pk), "filename": "notes.txt",
    }  # fmt: skip


def test_deleting_takes_a_post_and_without_javascript_leads_home(client: Client) -> None:
    document = uploaded(client)
    assert client.get(f"/documents/{document.pk}/delete/").status_code == 405
    assert client.post(f"/documents/{document.pk}/delete/")["Location"] == "/"


@pytest.mark.parametrize(
    ("method", "address"),
    [("get", "/documents/"), ("post", "/documents/"), ("get", "/documents/1/"), ("post", "/documents/1/delete/")],
)
def test_an_anonymous_visitor_is_sent_to_sign_in(method: str, address: str) -> None:
    response = getattr(Client(), method)(address)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


def test_a_form_of_another_site_can_neither_upload_nor_delete(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert post(client, b"text").status_code == 403
    assert client.post("/documents/1/delete/").status_code == 403
    assert not Document.objects.exists()
