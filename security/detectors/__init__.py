"""Detectors: each says what to count of an observation, and what the counts make of it. Pure: they read the settings, and nothing else."""

from __future__ import annotations

from security.detection import Detector
from security.detectors.access import Enumeration, RefusalBurst
from security.detectors.logins import (
    AccountBruteForce,
    BruteForce,
    CredentialStuffing,
    DistributedGuessing,
    SuccessAfterFailures,
    Surge,
)
from security.detectors.rights import PrivilegeEscalation, TokenReuse
from security.detectors.words import LOGIN_FAILURES, WATCHED

__all__ = ["DETECTORS", "LOGIN_FAILURES", "WATCHED"]

DETECTORS: tuple[Detector, ...] = (
    BruteForce(), AccountBruteForce(), CredentialStuffing(), DistributedGuessing(), Surge(), SuccessAfterFailures(),
    RefusalBurst(), Enumeration(), PrivilegeEscalation(), TokenReuse(),
)  # fmt: skip
