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

    # Floods (security.floods)
    FLOOD_AFTER: int = Field(
        20,
        ge=1,
        description="Failures and refusals of one type from one network in a minute that are told one by one; more are counted.",
    )
    FLOOD_AFTER_SITE: int = Field(200, ge=1, description="The same on the whole site.")
    FLOOD_SUMMARY_INTERVAL: float = Field(
        10.0, gt=0, le=60, description="Seconds between the summaries of what is counted, while it lasts."
    )


def settings() -> SecuritySettings:
    """The settings of this app."""
    return load(SecuritySettings)
