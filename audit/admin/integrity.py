"""The page "Integrity": how it stands with the evidence of the log, and a button that verifies all of it, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.urls import reverse

from audit.access import record_list
from audit.admin.pages import LogPages
from audit.evidence import integrity, verification
from audit.evidence.log import Step, last_seal
from audit.evidence.verifier import Finding
from audit.models import AuditEntry
from events.conf import settings

# Findings of one step that are shown.
MAX_SHOWN: Final = 100
MAX_NUMBER: Final = 2**63 - 1


class IntegrityPage(LogPages):
    """A mixin for the log's ModelAdmin: its other pages, and this one, for who may view and verify the log."""

    own_pages = (*LogPages.own_pages, "integrity")

    def has_verify_permission(self, request: HttpRequest) -> bool:
        """Whether the user may verify the log."""
        return request.user.has_perm("audit.verify_auditentry")

    def integrity_view(self, request: HttpRequest) -> HttpResponse:
        """The page. A POST verifies one step, from the seal `from` on, and answers with JSON where that is preferred."""
        self._check_view(request)
        if not self.has_verify_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            shown = self._integrity_page(request)
            record_list("integrity", {})
            return shown
        number = _number(request.POST.get("from", "1"))
        if number is None:
            return HttpResponseBadRequest("from: must be the number of a seal")
        try:
            step, is_recorded = verification.verify_step(number)
        except OSError as error:
            return HttpResponse(f"The anchors can't be read: {error.strerror}", status=503, content_type="text/plain")
        answer = _answer(number, step, is_recorded)
        if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
            return JsonResponse(answer)
        return self._integrity_page(request, step=answer)

    def _integrity_page(self, request: HttpRequest, **context: Any) -> HttpResponse:
        state = integrity.state()
        return self._page(request, "integrity", {"title": "Integrity", "state": state, **context})


def _number(text: str) -> int | None:
    """The number of a seal, of text; None if it is none."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return number if 0 < number <= MAX_NUMBER else None


def _answer(number: int, step: Step, is_recorded: bool) -> dict[str, Any]:
    """What a step found, as JSON: `next` is the seal that the next one begins with, None at the end, `head` the newest seal."""
    verifier = step.verifier
    newest = last_seal()
    return {
        "from": number,
        "next": step.next,
        "last": verifier.last.number if verifier.last else 0,
        "head": newest.number if newest else 0,
        "seals": verifier.seals,
        "rows": verifier.rows,
        "removed": verifier.removed,
        "erased": verifier.erased,
        "unsealed": verifier.unsealed,
        "found": len(verifier.findings),
        "findings": _shown(verifier.findings[:MAX_SHOWN]),
        "is_recorded": is_recorded,
    }


def _shown(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings with links to their first and last rows, where these are still there."""
    ends = [[row_id for row_id in dict.fromkeys((one.first_id, one.last_id)) if row_id > 0] for one in findings]
    there = _there(row_id for ids in ends for row_id in ids)
    return [
        {
            "kind": one.kind,
            "message": one.message,
            "rows": [
                {"id": row_id, "url": reverse("admin:audit_auditentry_change", args=[row_id])}
                for row_id in ids
                if row_id in there
            ],
        }
        for one, ids in zip(findings, ends, strict=True)
    ]


def _there(ids: Iterable[int]) -> set[int]:
    wanted = set(ids)
    entries = AuditEntry.objects.using(settings().DATABASE).filter(id__in=wanted)
    return set(entries.values_list("id", flat=True)) if wanted else set()
