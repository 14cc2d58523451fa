"""Who may not try to sign in for a while, and how to release them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from events.readonly import ReadOnlyAdmin, one_line_time
from events.types import utcnow
from security.enforcement import cool_offs
from security.models import CoolOff


@admin.register(CoolOff)
class CoolOffAdmin(ReadOnlyAdmin):
    """The cool-offs, with those that are over. Releasing takes the permission `security.delete_cooloff`."""

    list_display = ("about", "state_badge", "since_time", "until_time", "times")
    search_fields = ("subject__exact", "address__exact", "account__exact")
    search_help_text = "The whole of a subject, an address or an account's id"
    sortable_by = ()
    actions = ("release",)  # type: ignore[assignment]
    fieldsets = ((None, {"fields": ("subject", "address", "account", "since", "until", "times")}),)

    class Media:
        css = {"all": ["security/security.css"]}

    def has_release_permission(self, request: HttpRequest) -> bool:
        """Whether the user may end cool-offs."""
        return request.user.has_perm("security.delete_cooloff")

    @action(description="Release: let them try again at once")
    def release(self, request: HttpRequest, chosen: QuerySet[CoolOff]) -> HttpResponse | None:
        if not self.has_release_permission(request):
            raise PermissionDenied
        author = request.user.get_username()
        released = sum(cool_offs.release(subject, author) for subject in chosen.values_list("subject", flat=True))
        self.message_user(request, f"{released} of {len(chosen)} released.", messages.SUCCESS if released else messages.WARNING)
        return None

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        found: dict[str, Any] = super().get_actions(request)
        return found if self.has_release_permission(request) else {}

    @display(description="Subject")
    def about(self, cool_off: CoolOff) -> SafeString:
        return format_html('<span class="security-subject" title="{}">{}</span>', cool_off.subject, cool_off.subject)

    @display(description="State", label={"in force": "warning", "over": "default"})
    def state_badge(self, cool_off: CoolOff) -> str:
        return "in force" if cool_off.until > utcnow() else "over"

    @display(description="Since")
    def since_time(self, cool_off: CoolOff) -> str:
        return one_line_time(cool_off.since)

    @display(description="Until")
    def until_time(self, cool_off: CoolOff) -> str:
        return one_line_time(cool_off.until)
