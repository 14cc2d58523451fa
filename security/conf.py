"""The settings dict `SECURITY`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from django.conf import settings as django_settings
from django.db.models import CharField, DateTimeField, TextField
from pydantic import AfterValidator, Field, IPvAnyNetwork, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict
from redis.connection import parse_url

from events.conf import AppSettings, load
from events.conf import settings as events_settings
from security.sources.tally import KEPT

MAX_TARGET_LENGTH = 255
MIN_SECRET_LENGTH = 16
# What thresholds of different members can't reach with one summary.
NAMED = f"A summary of a flood names {KEPT} at most: more take several summaries."
Address = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=MAX_TARGET_LENGTH)]
EXACT: Final = frozenset({"exact", "iexact"})


def _finds_what_was_typed(lookup: str) -> str:
    """Others than `EXACT` find users whose names were not typed, and what was typed may be no pattern, which a database does not forgive."""
    _, *path = lookup.split("__")
    others = {name for field in (CharField(), TextField(), DateTimeField()) for name in field.get_lookups()} - EXACT
    if path and path[-1] in others:
        raise ValueError(
            f"{lookup!r} finds more than was typed: end it with __exact, __iexact or neither (a field of that name: {lookup}__exact)"
        )
    return lookup


Lookup = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$", max_length=MAX_TARGET_LENGTH), AfterValidator(_finds_what_was_typed)]
WebAddress = Annotated[str, Field(pattern=r"^https?://[^\s/]+", max_length=MAX_TARGET_LENGTH)]


class SecuritySettings(AppSettings):
    """`SECURITY`."""

    setting = "SECURITY"
    model_config = SettingsConfigDict(env_prefix="SECURITY_")

    # Who is meant by what was typed (security.accounts)
    SIGN_IN_FIELDS: list[Lookup] = Field(
        [],
        description="Lookups by which people sign in besides the username, as `email__iexact`, `username__iexact`: tried in this order, and one counts "
        "where it finds exactly one user. So failures, successes and limits are the account's, whatever was typed.",
    )

    # Detection (security.detectors)
    BRUTE_FORCE_THRESHOLD: int = Field(
        5, ge=1, le=1_000, description="Failed logins from one address, or for one account, that open an incident."
    )
    BRUTE_FORCE_WINDOW: int = Field(300, ge=1, le=86_400, description="Seconds within which they count.")
    STUFFING_ACCOUNTS: int = Field(
        10, ge=2, le=1_000, description=f"Different accounts that fail to sign in from one address: credential stuffing. {NAMED}"
    )
    STUFFING_WINDOW: int = Field(600, ge=1, le=86_400, description="Seconds within which they count.")
    GUESSING_ADDRESSES: int = Field(
        10,
        ge=2,
        le=1_000,
        description=f"Different addresses from which logins for one account fail: distributed guessing. {NAMED}",
    )
    GUESSING_WINDOW: int = Field(3_600, ge=1, le=86_400, description="Seconds within which they count.")
    SURGE_FAILURES: int = Field(
        100,
        ge=10,
        le=1_000,
        description="Failed logins on the whole site within `SURGE_WINDOW` that are looked at. Where three quarters are for different accounts it is "
        f"spraying. {NAMED}",
    )
    SURGE_FACTOR: float = Field(
        3.0, ge=1.5, le=20, description="How many times as frequent as in the hour before (11 windows) they must be: a surge."
    )
    SURGE_WINDOW: int = Field(300, ge=10, le=3_600, description="Seconds within which they count.")
    SUCCESS_AFTER_FAILURES: int = Field(
        5,
        ge=2,
        le=1_000,
        description="Failed logins for an account, from the address that then signs in, that make it suspicious.",
    )
    REFUSALS: int = Field(30, ge=2, le=1_000, description="Refused requests (401, 403, CSRF) from one address: a burst.")
    REFUSALS_WINDOW: int = Field(60, ge=1, le=86_400, description="Seconds within which they count.")
    ENUMERATION: int = Field(
        30,
        ge=2,
        le=1_000,
        description=f"Pages that are not there, or unknown usernames, asked for from one address: enumeration. {NAMED}",
    )
    ENUMERATION_WINDOW: int = Field(300, ge=1, le=86_400, description="Seconds within which they count.")
    INCIDENT_QUIET: int = Field(3_600, ge=1, description="Seconds without an event after which an incident is closed.")
    INCIDENT_INTERVAL: float = Field(30.0, gt=0, le=3_600, description="Seconds between looks for incidents that are quiet.")
    TEND_IN_BACKGROUND: bool = Field(
        True, description="Servers close quiet incidents in a thread of theirs. Off: run `tend_incidents` every few minutes."
    )

    # Counters (security.counters)
    COUNTERS: Literal["auto", "database", "redis"] = Field(
        "auto", description="Where detectors count: in Redis where there is one, unless `database` is said."
    )
    REDIS_URL: str = Field("", description="The Redis to count in; unless said, that of the channel layer, if it has one.")
    REDIS_PREFIX: str = Field("security", description="What the keys there begin with.")

    @field_validator("REDIS_URL")
    @classmethod
    def _is_one_of_redis(cls, url: str) -> str:
        if url:
            parse_url(url)  # type: ignore[no-untyped-call]
        return url

    # Floods (security.sources.floods)
    FLOOD_AFTER: int = Field(
        20,
        ge=1,
        description="Failures and refusals of one type from one network in a minute that are told one by one; more are counted.",
    )
    FLOOD_AFTER_SITE: int = Field(200, ge=1, description="The same on the whole site.")
    FLOOD_SUMMARY_INTERVAL: float = Field(
        10.0, gt=0, le=60, description="Seconds between the summaries of what is counted, while it lasts."
    )

    # Alerts, and how they are delivered (`security.alerts.raising`, `security.alerts.deliveries`)
    ALERT_MAIL: list[Address] = Field([], description="Mail addresses that hear of incidents.")
    ALERT_MAIL_SEVERITY: Literal["low", "medium", "high", "critical"] = Field(
        "high", description="How bad an incident must be, at least, to be mailed. Webhooks hear of all."
    )
    ALERT_WEBHOOKS: list[WebAddress] = Field(
        [], description="URLs that each incident is posted to, signed with `WEBHOOK_SECRET`."
    )
    WEBHOOK_SECRET: SecretStr = Field(
        SecretStr(""),
        validate_default=True,
        description="What webhooks are signed with (HMAC-SHA256), shared with who receives them: 16 characters or more.",
    )
    SITE_URL: Literal[""] | WebAddress = Field(
        "", description="Where the site is (`https://example.org`), for links in mails and webhooks."
    )
    ALERTS_AN_HOUR: int = Field(
        60,
        ge=1,
        le=1_000,
        description="Alerts an hour that one mail address or webhook hears one by one, and as many critical ones besides. More are counted in "
        "digests.",
    )
    DIGEST_INTERVAL: float = Field(
        600.0,
        gt=0,
        le=86_400,
        description="Seconds between the digests to one target, while more alerts come: so long each waits.",
    )
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
        length = len(secret.get_secret_value())
        if length < MIN_SECRET_LENGTH and (length or info.data.get("ALERT_WEBHOOKS")):
            raise ValueError(f"ALERT_WEBHOOKS are signed with it: at least {MIN_SECRET_LENGTH} characters")
        return secret

    # Enforcement (security.enforcement.guard)
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
        900,
        ge=1,
        le=86_400,
        validate_default=True,
        description="Seconds of the longest cool-off, at least `COOL_OFF` and at most `ATTEMPT_WINDOW`: none is for ever.",
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
        if value < info.data.get("COOL_OFF", value):
            raise ValueError("must be at least COOL_OFF")
        return value


def settings() -> SecuritySettings:
    """The settings of this app."""
    return load(SecuritySettings)


def redis_url() -> str | None:
    """The URL of the Redis to count in. None if there is none."""
    if settings().REDIS_URL:
        return settings().REDIS_URL
    layer = getattr(django_settings, "CHANNEL_LAYERS", {}).get(events_settings().CHANNEL_LAYER, {})
    if not str(layer.get("BACKEND", "")).startswith("channels_redis."):
        return None
    hosts = layer.get("CONFIG", {}).get("hosts") or ["redis://localhost:6379"]
    return _url(hosts[0])


def _url(host: Any) -> str | None:
    """The URL of a host as channels_redis takes it; None of a sentinel."""
    if isinstance(host, dict):
        host = host.get("address")
    if isinstance(host, (tuple, list)):
        return f"redis://{host[0]}:{host[1]}"
    return host
