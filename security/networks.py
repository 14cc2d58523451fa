"""Networks: what of an address stays the same for one subscriber, and for one provider."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network


@lru_cache(maxsize=4096)
def network_of(address: str | None) -> str | None:
    """The network that one subscriber has: an IPv4 address itself, of IPv6 its /64. None for what is no address."""
    return _cut(address, 32, 64)


@lru_cache(maxsize=4096)
def provider_of(address: str | None) -> str | None:
    """The wider network, within which a subscriber's address may change by itself: /16, of IPv6 /32. None for what is no address."""
    return _cut(address, 16, 32)


def _cut(address: str | None, v4: int, v6: int) -> str | None:
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return None
    prefix = v4 if parsed.version == 4 else v6
    return (
        str(parsed)
        if prefix == parsed.max_prefixlen
        else str(ip_network((int(parsed), parsed.max_prefixlen)).supernet(new_prefix=prefix))
    )
