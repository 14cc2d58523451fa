"""An nginx access log in the `combined` format. Pure. Of a request's address only the path is kept: a query may hold secrets."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Final

from security.importing.happenings import BadLine, Happening, address_of, printable

COMBINED: Final = re.compile(
    r"(\S+) \S+ (.+?) \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    r'"((?:[^"\\]|\\.)*)" (\d{3}) \S+(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?.*'
)
TIME: Final = "%d/%b/%Y:%H:%M:%S %z"
# What the answer to a login form means: the form again, or on to the next page.
SIGNED_IN: Final = {"302": True, "303": True, "200": False, "400": False, "401": False, "403": False}
REFUSED: Final = {
    "401": ("access.denied", "denied"),
    "403": ("access.denied", "denied"),
    "404": ("access.not_found", "failure"),
    "429": ("rate_limit.exceeded", "denied"),
}


class Nginx:
    """See `security.importing.happenings.Parser`. `login_paths` are those to which login forms are sent."""

    name = "nginx"

    def __init__(self, login_paths: Collection[str]) -> None:
        self._login_paths = frozenset(login_paths)

    def parse(self, line: str) -> Iterator[Happening]:
        """What the line tells. Raises BadLine."""
        match = COMBINED.fullmatch(line)
        if match is None:
            raise BadLine("not a line of the combined format")
        address, user, time, request, status, _, agent = match.groups()
        try:
            at = datetime.strptime(time, TIME)  # noqa: DTZ007  %z is in it
        except ValueError as error:
            raise BadLine(str(error)) from None
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        known = None if user == "-" else user
        event = self._event(method, path, status, known)
        if event is not None:
            data = {"path": printable(path), "method": printable(method)[:16], "status": int(status)}
            if agent and agent != "-":
                data["user_agent"] = printable(agent)
            yield Happening(at, *event, address_of(address), known, status not in REFUSED, 1, data)

    def _event(self, method: str, path: str, status: str, user: str | None) -> tuple[str, str] | None:
        if method == "POST" and path in self._login_paths and status in SIGNED_IN:
            return ("auth.login_success", "success") if SIGNED_IN[status] else ("auth.login_failure", "failure")
        if status == "401" and user:  # a name and a wrong password, in the request's own header
            return "auth.login_failure", "failure"
        return REFUSED.get(status)
