"""The sources of security events: each tells what happens, once, and judges nothing. One module a kind of source.

Those that need a response are asked by `security.middleware.SecurityMiddleware`: their `look(request, response)` gives what there is to
tell, or None, without asking the database.
"""


def connect() -> None:
    """Connect all sources. Doing it again changes nothing."""
    from security.sources import (  # noqa: PLC0415 - they need the app registry
        django_log,
        logins,
        permissions,
        sessions,
        streams,
        tokens,
        users,
    )

    for source in (logins, users, permissions, tokens, sessions, streams, django_log):
        source.connect()
