"""The settings dict `SECURITY`."""

from __future__ import annotations

from pydantic import Field, IPvAnyNetwork, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from events.conf import AppSettings, load


class SecuritySettings(AppSettings):
    """`SECURITY`."""

    setting = "SECURITY"
    model_config = SettingsConfigDict(env_prefix="SECURITY_")

    BRUTE_FORCE_THRESHOLD: int = Field(
        5, ge=1, le=1_000, description="Failed logins from one address, or for one account, that give an alert."
    )
    BRUTE_FORCE_WINDOW: int = Field(
        300, ge=1, description="Seconds within which they count, and within which one address or account gives one alert."
    )

    # Enforcement (security.enforcement)
    ENFORCE: bool = Field(
        False,
        description="Refuse attempts to sign in where there were too many. Needs `security.backends.GuardBackend`, first in "
        "`AUTHENTICATION_BACKENDS`.",
    )
    ATTEMPT_WINDOW: int = Field(
        900, ge=1, le=86_400, description="Seconds within which failed attempts count towards a cool-off."
    )
    PAIR_LIMIT: int = Field(
        5, ge=1, le=1_000, description="Attempts for one account from one address (IPv6: /64), those that succeed apart."
    )
    ACCOUNT_LIMIT: int = Field(
        50,
        ge=1,
        le=1_000,
        description="Attempts for one account from all addresses. Where the account signed in lately, only the pair's limit holds.",
    )
    ADDRESS_LIMIT: int = Field(
        100,
        ge=1,
        le=1_000,
        description="Attempts from one address for all accounts. For an account that signed in from there lately, only the pair's limit holds.",
    )
    COOL_OFF: int = Field(
        60, ge=1, le=86_400, description="Seconds of the first cool-off. Each further one within a day is twice as long."
    )
    COOL_OFF_MAX: int = Field(
        900, ge=1, le=86_400, description="Seconds of the longest cool-off, at most `ATTEMPT_WINDOW`: none is for ever."
    )
    REMEMBER_SIGN_INS: int = Field(
        30, ge=1, le=365, description="Days that an address is known as one from which an account signed in."
    )
    ALLOW: list[IPvAnyNetwork] = Field([], description="Networks (CIDR) whose attempts are neither counted nor refused.")

    @field_validator("COOL_OFF_MAX")
    @classmethod
    def _ends_with_the_window(cls, value: int, info: ValidationInfo) -> int:
        # What keeps a counter full during a cool-off is in its window.
        if value > info.data.get("ATTEMPT_WINDOW", value):
            raise ValueError("must be at most ATTEMPT_WINDOW")
        return value


def settings() -> SecuritySettings:
    """The settings of this app."""
    return load(SecuritySettings)
