"""The client's address: from the right, as far as the proxies are trusted."""

from __future__ import annotations

from typing import Any

import pytest

from events.client_ip import client_ip, undeclared_proxy


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "found"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9, 192.0.2.7", "203.0.113.9"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, \x00", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9:443", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:443, 192.0.2.7:80", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.1", "[203.0.113.9", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9:x", "10.0.0.1"),
        ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("2001:db8:ffff::1", "203.0.113.9", "203.0.113.9"),
        (None, "203.0.113.9", None),
    ],
)
def test_the_header_is_read_from_the_right_through_trusted_networks(
    peer: str | None, forwarded_for: str, found: str | None, settings: Any
) -> None:
    settings.EVENTS = {"TRUSTED_PROXIES": ["10.0.0.0/8", "192.0.2.7", "2001:db8:ffff::/48"]}
    assert client_ip(peer, forwarded_for) == found


def test_a_peer_that_sends_the_header_and_is_not_declared_is_named(settings: Any) -> None:
    assert undeclared_proxy("10.0.0.1", "203.0.113.9") == "10.0.0.1"
    assert undeclared_proxy("10.0.0.1", None) is undeclared_proxy("nonsense", "x") is None
    settings.EVENTS = {"TRUSTED_PROXIES": ["10.0.0.0/8"]}
    assert undeclared_proxy("10.0.0.1", "203.0.113.9") is None
