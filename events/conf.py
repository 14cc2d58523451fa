"""The settings: one dict an app, `EVENTS` here. Name, type, default and meaning of each key in one place.

Each key can also be set from the environment, as `EVENTS_<KEY>`, which wins over the dict; lists with commas between, dictionaries as JSON.
Read
lazily: nothing is read at import, and a change of the setting (in tests) is seen at once.
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, TypeVar, get_origin

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from pydantic import Field, IPvAnyNetwork, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class AppSettings(BaseSettings):
    """A settings dict of one app. Subclasses say which (`setting`) and declare the keys as typed fields."""

    setting: ClassVar[str]

    model_config = SettingsConfigDict(extra="forbid", case_sensitive=True, frozen=True, enable_decoding=False)

    @field_validator("*", mode="before")
    @classmethod
    def _split(cls, value: Any, info: ValidationInfo) -> Any:
        """The environment's text for a list or a set: its items, with commas between. For a dictionary: JSON."""
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, str) and get_origin(field.annotation) is dict:
            return json.loads(value)
        if isinstance(value, str) and get_origin(field.annotation) in (list, set, frozenset):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @classmethod
    def from_django(cls) -> AppSettings:
        """The dict of the Django settings, checked, under what the environment says. Raises pydantic.ValidationError."""
        return cls(**(getattr(django_settings, cls.setting, None) or {}))


class WriteMode(StrEnum):
    """How an event is written, and its audit entry with it, where it is emitted inside a transaction."""

    WITH_CHANGE = "with_change"  # both commit, or neither
    INDEPENDENT = "independent"  # it stays when the transaction is rolled back
    BEST_EFFORT = "best_effort"  # so too, and nobody waits for it, in a transaction or not


class EventsSettings(AppSettings):
    """`EVENTS`."""

    setting = "EVENTS"
    model_config = SettingsConfigDict(env_prefix="EVENTS_")

    UNIFIED_EVENTS_ENABLED: bool = Field(True, description="Off: nothing is emitted, `emit` answers `False`.")
    CROSS_SYSTEM_ROUTING: bool = Field(True, description="Derive events: security → audit, high and critical → realtime.")
    HIGH_PRIORITY_NOTIFICATIONS: bool = Field(True, description="Flag critical events for a browser notification.")
    RAISE_INVALID: bool | None = Field(
        None, description="Raise `InvalidEvent` for a malformed event; else log, count and answer `False`. None: as `DEBUG`."
    )
    MAX_EVENT_BYTES: int = Field(65_536, ge=1_024, description="The longest event, as JSON, in bytes.")
    DATABASE: str = Field("default", description="The database alias of the journal.")
    WRITE_TIMEOUT: float = Field(10.0, gt=0, description="Seconds that `emit` waits for its event to be written.")
    WRITE_QUEUE_MAXSIZE: int = Field(
        10_000,
        ge=1,
        description="Events that may wait for the publisher before LOW ones are shed; at twice as many NORMAL ones are.",
    )
    WRITE_MODES: dict[str, WriteMode] = Field(
        {},
        description="How the events of a category are written: `with_change`, `independent` of the transaction, or `best_effort`, which is "
        "independent and not waited for. Unless said otherwise those of `security` are independent, the others go with the change.",
    )
    SECRET_NAMES: frozenset[str] = Field(
        frozenset(), description="Names of fields and keys whose values are never kept, beside those that the rules find."
    )
    OPEN_NAMES: frozenset[str] = Field(
        frozenset(), description="Names whose values are kept although the rules take them for secrets: `sort_key`."
    )
    POLL_INTERVAL: float = Field(1.0, gt=0, le=60, description="Seconds between looks at the journal for what no doorbell told.")
    CHANNEL_LAYER: str = Field("default", description="The channel layer that carries the doorbell to other processes.")
    SSE_QUEUE_MAXSIZE: int = Field(
        100,
        ge=1,
        description="Batches of events that may wait for one client that takes none for a second, before it must reconnect.",
    )
    SSE_QUEUE_MAXBYTES: int = Field(1_048_576, ge=65_536, description="Bytes that may wait for one client.")
    SSE_MAX_CONNECTIONS_PER_USER: int = Field(
        5, ge=1, description="Streams that one user may have open, in all processes together."
    )
    SSE_KEEPALIVE_TIMEOUT: float = Field(30.0, gt=0, description="Seconds without an event before a heartbeat.")
    SSE_MAX_CONNECTION_AGE: float = Field(
        900.0,
        gt=0,
        description="Seconds, give or take a tenth, after which a stream must reconnect, and so show again who it is.",
    )
    RESUME_MAX_EVENTS: int = Field(100_000, ge=1, description="A client that is further behind is told `gap` and starts anew.")
    TRUSTED_PROXIES: list[IPvAnyNetwork] = Field(
        [], description="Networks (CIDR) of the reverse proxies whose `X-Forwarded-For` is believed."
    )


AnySettings = TypeVar("AnySettings", bound=AppSettings)


@cache
def load(cls: type[AnySettings]) -> AnySettings:
    """The settings of one app, read once and again after a change. Raises pydantic.ValidationError."""
    return cls.from_django()  # type: ignore[return-value]  # from_django returns its own class


def settings() -> EventsSettings:
    """The settings of this app."""
    return load(EventsSettings)


def raise_invalid() -> bool:
    """Whether a malformed event raises."""
    configured = settings().RAISE_INVALID
    return django_settings.DEBUG if configured is None else configured


def _forget(**kwargs: Any) -> None:
    load.cache_clear()


setting_changed.connect(_forget, dispatch_uid="events.conf")
