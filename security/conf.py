"""The settings dict `SECURITY`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from events.conf import AppSettings, load

MAX_TARGET_LENGTH = 255
Address = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=MAX_TARGET_LENGTH)]
WebAddress = Annotated[str, Field(pattern=r"^https?://[^\s/]+", max_length=MAX_TARGET_LENGTH)]


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

    # Alerts, and how they are delivered (`security.alerts`, `security.deliveries`)
    ALERT_MAIL: list[Address] = Field([], description="Mail addresses that hear of each incident.")
    ALERT_WEBHOOKS: list[WebAddress] = Field(
        [], description="URLs that each incident is posted to, signed with `WEBHOOK_SECRET`."
    )
    WEBHOOK_SECRET: SecretStr = Field(
        SecretStr(""),
        validate_default=True,
        description="What webhooks are signed with (HMAC-SHA256), shared with who receives them.",
    )
    SITE_URL: str = Field("", description="Where the site is (`https://example.org`), for links in mails and webhooks.")
    DELIVERY_ATTEMPTS: int = Field(8, ge=1, le=50, description="Times that a mail or a webhook is tried before it is given up.")
    DELIVERY_PAUSE: float = Field(
        10.0,
        gt=0,
        description="Seconds before the second attempt. Each pause is three times the one before, an hour at most, give or take a third.",
    )
    DELIVERY_TIMEOUT: float = Field(10.0, gt=0, le=300, description="Seconds that one attempt may take.")
    DELIVERY_INTERVAL: float = Field(2.0, gt=0, le=60, description="Seconds between looks for what is to be delivered.")
    DELIVER_IN_BACKGROUND: bool = Field(
        True, description="Servers deliver in a thread of theirs. Off: run `deliver_alerts --forever`."
    )

    @field_validator("WEBHOOK_SECRET")
    @classmethod
    def _is_there_where_webhooks_are(cls, secret: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.data.get("ALERT_WEBHOOKS") and not secret.get_secret_value():
            raise ValueError("ALERT_WEBHOOKS are signed with it")
        return secret


def settings() -> SecuritySettings:
    """The settings of this app."""
    return load(SecuritySettings)
