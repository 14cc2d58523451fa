"""The client's address, from right to left through the proxies that are declared: never the leftmost value, which anyone can write."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any, Final

from events.conf import settings

# Some proxies write ports: "203.0.113.9:443", "[2001:db8::1]:443".
PORT: Final = re.compile(r"(?:([0-9.]+):|\[([^]]+)\]:?)[0-9]{0,5}")


def client_ip(peer: str | None, forwarded_for: str | None = None) -> str | None:
    """The address of the client that sent a request.

    `peer` is the address at the other end of the connection, `forwarded_for` the `X-Forwarded-For` header. The header is
    read from the right, as far as each address is a trusted proxy (`EVENTS["TRUSTED_PROXIES"]`). None if there is no address.
    """
    hops = [peer or ""]
    if settings().TRUSTED_PROXIES and forwarded_for:
        hops += reversed(forwarded_for.split(","))
    found = None
    for hop in hops:
        address = _parse(hop)
        if address is None:
            break
        found = address
        if not _is_trusted(address):
            break
    return str(found) if found else None


def without_scope(address: str) -> str:
    """The address as a log keeps it: a scope ("fe80::1%eth0") means something on one machine only, and PostgreSQL's inet refuses it."""
    return address.partition("%")[0]


def undeclared_proxy(peer: str | None, forwarded_for: str | None) -> str | None:
    """The address of a peer that sends `X-Forwarded-For` and is no trusted proxy: the header is not believed. None if all is well."""
    address = _parse(peer or "") if forwarded_for else None
    return None if address is None or _is_trusted(address) else str(address)


def _is_trusted(address: Any) -> bool:
    return any(address in network for network in settings().TRUSTED_PROXIES)


def _parse(text: str):  # type: ignore[no-untyped-def]  # IPv4Address | IPv6Address | None, and `in network` takes either
    with_port = PORT.fullmatch(text.strip())
    try:
        address = ip_address(with_port[1] or with_port[2] if with_port else text.strip())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
