"""The settings dict `SECURITY`."""

from __future__ import annotations

from pydantic import Field
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


def settings() -> SecuritySettings:
    """The settings of this app."""
    return load(SecuritySettings)
