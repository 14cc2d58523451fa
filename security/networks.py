"""Networks: what of an address stays the same for one subscriber."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network


@lru_cache(maxsize=4096)
def network_of(address: str | None) -> str | None:
    """The network that one subscriber has: an IPv4 address itself, of IPv6 its /64. None for what is no address."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return None
    return str(parsed) if parsed.version == 4 else str(ip_network((int(parsed), 64), strict=False))
