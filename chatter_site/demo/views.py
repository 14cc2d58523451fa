"""The console and the documents. A document of someone else does not exist (404)."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from chatter_site.demo.history import current_cursor, recent_events
from chatter_site.demo.models import Document
from chatter_site.demo.processing import fail_abandoned
from chatter_site.demo.uploads import MAX_UPLOAD_BYTES, upload
from events import EventCategory, EventPriority

# The newest.
DOCUMENTS_SHOWN = 50
CHUNKS_A_PAGE = 50


class SignedInRequest(HttpRequest):
    """A request that `login_required` let through."""

    user: User


@never_cache
@require_GET
@login_required
def home(request: SignedInRequest) -> HttpResponse:
    """The console: live events, and the user's documents."""
    fail_abandoned(request.user)
    cursor = current_cursor()
    context = {
        "events": recent_events(request.user, cursor),
        "cursor": cursor,
        "documents": _documents(request),
        "categories": list(EventCategory),
        "priorities": list(EventPriority),
        "max_upload_bytes": MAX_UPLOAD_BYTES,
    }
    return render(request, "demo/console.html", context)


@method_decorator([never_cache, login_required], name="dispatch")
class Documents(View):
    """The user's newest documents as JSON, and how many there are (GET); one more (POST, the file in `file`)."""

    def get(self, request: SignedInRequest) -> HttpResponseBase:
        fail_abandoned(request.user)
        return JsonResponse(_documents(request))

    def post(self, request: SignedInRequest) -> HttpResponseBase:
        wants_json = request.get_preferred_type(["text/html", "application/json"]) == "application/json"
        try:
            document = upload(request.user, request.FILES.get("file"))
        except ValidationError as error:
            if wants_json:
                return JsonResponse({"error": "invalid", "field": "file", "detail": error.message}, status=400)
            messages.error(request, error.message)
            return redirect("home")
        return JsonResponse({"document": document.as_json()}, status=201) if wants_json else redirect("home")


@never_cache
@require_GET
@login_required
def document(request: SignedInRequest, document_id: int) -> HttpResponse:
    """A document's chunks."""
    fail_abandoned(request.user)
    cursor = current_cursor()
    found = get_object_or_404(Document, pk=document_id, owner=request.user)
    page = Paginator(found.chunks.all(), CHUNKS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "demo/document.html", {"document": found, "page": page, "cursor": cursor})


@require_POST
@login_required
def delete_document(request: SignedInRequest, document_id: int) -> HttpResponse:
    """Deletes a document and its chunks."""
    get_object_or_404(Document, pk=document_id, owner=request.user).delete()
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        return HttpResponse(status=204)
    return redirect("home")


def _documents(request: SignedInRequest) -> dict[str, object]:
    owned = Document.objects.filter(owner=request.user)
    shown = [document.as_json() for document in owned[:DOCUMENTS_SHOWN]]
    return {"documents": shown, "total": owned.count() if len(shown) == DOCUMENTS_SHOWN else len(shown)}
