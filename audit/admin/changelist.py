"""The list of the log, paged by key: links to newer and older entries instead of page numbers, and nothing is counted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.core import signing
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from audit.models import AuditEntry
from audit.reading.paging import Key, Page, estimated_count, read_page
from audit.reading.selection import searched
from events.context import session_label

BEFORE, AFTER, LIVE, AS = "before", "after", "live", "as"
SALT = "audit.live"
# Seconds for which what a live page fetches again is not recorded again.
LIVE_FOR = 10 * 60


@dataclass
class KeysetLinks:
    """What the template of the page's foot needs."""

    newer: str | None
    older: str | None
    first: str | None
    summary: str
    template_name: str = "audit/pagination.html"


class KeysetChangeList(ChangeList):
    """A page of the list. `page` has its entries, `asked` what was filtered and searched for, `is_first` whether it is the
    newest page, `is_followed` whether it was asked for by a page that shows it already and was recorded, up to `LIVE_FOR` ago;
    `live_parameter` proves that: of the same session, the same filters."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        # Out of the request, so that neither filters nor their links take them for their own.
        query = request.GET.copy()
        own = {name: query.pop(name)[-1] for name in (BEFORE, AFTER, LIVE, AS) if name in query}
        request.GET = query  # type: ignore[assignment]
        self.keys = {name: key for name in (BEFORE, AFTER) if (key := key_in(own.get(name)))}
        super().__init__(request, *args, **kwargs)
        self.asked = {name: values[-1] for name, values in self.filter_params.items() if values[-1]}
        self.is_first = self.page.newer is None and BEFORE not in self.keys
        claim, given = self._claim(request), own.get(LIVE, "")
        self.is_followed = self.is_first and _signed(given) == claim
        # As it was given, so that its time is that of the view that was recorded.
        self.live_parameter = given if self.is_followed else signing.dumps(claim, salt=SALT)

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[AuditEntry]:
        queryset = super().get_queryset(request, exclude_parameters)
        conditions = searched(self.query)
        self.branches = [queryset.filter(condition) for condition in conditions] or [queryset]
        return queryset.filter(reduce(or_, conditions)) if conditions else queryset

    def get_results(self, request: HttpRequest) -> None:
        self.page: Page = read_page(self.branches, self.list_per_page, **self.keys)
        self.result_list = self.page.entries
        # As many "in full": Unfold then says no number in the page's head, and the foot has ours.
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count = self.show_admin_actions = self.can_show_all = self.multi_page = False
        self.paginator = KeysetLinks(
            newer=self._link(AFTER, self.page.newer),
            older=self._link(BEFORE, self.page.older),
            first=None if self.page.newer is None else self.get_query_string(),
            summary=self._summary(),
        )

    def _claim(self, request: HttpRequest) -> list[Any]:
        return [str(request.user.pk), session_label(request.session.session_key), self.get_query_string()]

    def _link(self, name: str, key: Key | None) -> str | None:
        return None if key is None else self.get_query_string({name: str(key)})

    def _summary(self) -> str:
        if self.page.is_all:
            return f"{self.result_count} {'entry' if self.result_count == 1 else 'entries'}"
        if self.has_active_filters or self.query:
            return f"{self.result_count} entries on this page"
        return f"about {estimated_count():,} entries"


def key_in(text: str | None) -> Key | None:
    """The key that a parameter holds; None where it holds none."""
    try:
        return Key.parse(text) if text else None
    except ValueError:
        return None


def _signed(text: str) -> Any:
    try:
        return signing.loads(text, salt=SALT, max_age=LIVE_FOR)
    except signing.BadSignature:
        return None
