"""From a committed security event to what detectors look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from events.client_ip import client_ip
from events.types import MAX_LABEL_LENGTH, UnifiedEvent
from security.accounts import find_account, username_hash
from security.adapter import LOGIN_SUCCESS
from security.detection import Observation
from security.detectors.words import LOGIN_FAILURES
from security.networks import network_of
from security.sources.tally import KEPT

MAX_NUMBER = 1_000_000


def observations_of(event: UnifiedEvent) -> list[Observation]:
    """What the event tells: one thing; a summary of failed logins, one for each account that it names, and the rest. Where all are for one
    account, and from many networks: one for each address that it names."""
    seen = observation_of(event)
    if seen.event_type not in LOGIN_FAILURES or seen.target is not None or "count" not in event.data:
        return [seen]
    parts = _split(
        seen,
        [replace(seen, account=name, number=number, singled_out=alone) for name, number, alone in _named(event, "accounts")]
        + [
            replace(seen, username_hash=name, number=number, singled_out=alone)
            for name, number, alone in _named(event, "username_hashes")
        ],
    )
    if len(parts) > 1 or seen.network is not None:
        return parts
    return _split(
        parts[0],
        [
            replace(parts[0], address=address, network=network_of(address), number=number)
            for stated, number, _ in _named(event, "addresses")
            if (address := _address(stated))
        ],
    )


def _split(whole: Observation, parts: Iterable[Observation]) -> list[Observation]:
    """The parts, as far as they are not more than the whole, and what is left of it."""
    found, rest = [], whole.number
    for part in parts:
        if part.number <= rest:
            rest -= part.number
            found.append(part)
    return [*found, replace(whole, number=rest)] if rest else found


def observation_of(event: UnifiedEvent) -> Observation:
    """What the event tells, as one.

    The address is `ip_address` or `ip` in the data, which speak of the happening itself, else the one in the metadata. The account is
    the event's `user_id`, `user_id` in the data, or, of a login, whose name is `username` in the data.
    """
    data = event.data
    stated = (data.get("ip_address"), data.get("ip"), event.metadata.get("ip_address"))
    address = next(filter(None, map(_address, stated)), None)
    network = _network(data["network"]) if "network" in data and "count" in data else network_of(address)
    account, unknown = _account(event)
    return Observation(
        event.event_type, event.id, event.timestamp, address, network, account, unknown,
        event.correlation_id, data, _actor(event), _number(data.get("count")),
    )  # fmt: skip


def _account(event: UnifiedEvent) -> tuple[str | None, str | None]:
    """The account's id, or the hash of a username that is no account's."""
    user_id, username = event.user_id or event.data.get("user_id"), event.data.get("username")
    if isinstance(user_id, (str, int)) and not isinstance(user_id, bool) and user_id != "":
        return str(user_id)[:MAX_LABEL_LENGTH], None
    if event.event_type not in LOGIN_FAILURES and event.event_type != LOGIN_SUCCESS:
        return None, None
    if isinstance(username, str) and username:
        account = find_account(username)
        return (str(account.pk), None) if account is not None else (None, username_hash(username))
    known = event.data.get("username_hash")
    return None, known[:MAX_LABEL_LENGTH] if isinstance(known, str) and known else None


def _actor(event: UnifiedEvent) -> str | None:
    actor = event.metadata.get("actor")
    known = actor.get("id") if isinstance(actor, dict) and actor.get("type") in ("user", "token") else None
    return str(known) if known is not None else None


def _address(value: Any) -> str | None:
    return client_ip(value.partition("%")[0]) if isinstance(value, str) else None


def _network(value: Any) -> str | None:
    """The network that a summary names; it names None where it tells of many."""
    return network_of(value.partition("/")[0]) if isinstance(value, str) else None


def _number(value: Any) -> int:
    return min(value, MAX_NUMBER) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1


def _named(event: UnifiedEvent, name: str) -> Iterator[tuple[str, int, bool]]:
    """The pairs of a member and its count that a summary names, and whether it singles it out, as it does the first ones, or all where it
    doesn't say; nothing else that may stand there."""
    value, said = event.data.get(name), event.data.get("singled_out")
    number = said.get(name) if isinstance(said, dict) else None
    singled_out = number if isinstance(number, int) else KEPT
    for place, pair in enumerate(value[:KEPT] if isinstance(value, list) else ()):
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str):
            yield pair[0][:MAX_LABEL_LENGTH], _number(pair[1]), place < singled_out
