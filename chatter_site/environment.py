"""What the environment may say about the site. The keys of EVENTS, AUDIT and SECURITY are read by the apps themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from pydantic import BeforeValidator, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.connection import parse_url


def _split(value: Any) -> Any:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[list[str], BeforeValidator(_split)]


class Environment(BaseSettings):
    """One field a variable. Lists have commas between."""

    model_config = SettingsConfigDict(enable_decoding=False, env_ignore_empty=True)

    VAR_DIR: Path | None = None
    DEBUG: bool = False
    SECRET_KEY: str = ""
    ALLOWED_HOSTS: CommaSeparated = ["localhost", "127.0.0.1", "[::1]"]
    CSRF_TRUSTED_ORIGINS: CommaSeparated = []
    DATABASE_URL: str = ""
    REDIS_URL: str = ""
    REDIS_PREFIX: str = "chatter"
    HTTPS: bool = False

    @field_validator("DATABASE_URL")
    @classmethod
    def _names_a_database(cls, url: str) -> str:
        if url:
            dj_database_url.parse(url)
        return url

    @field_validator("REDIS_URL")
    @classmethod
    def _names_a_redis(cls, url: str) -> str:
        if url:
            parse_url(url)  # type: ignore[no-untyped-call]
        return url


def read_environment() -> Environment:
    """The environment. Raises ImproperlyConfigured that names each variable at fault."""
    try:
        return Environment()
    except ValidationError as error:
        problems = [f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors()]
        raise ImproperlyConfigured("; ".join(problems)) from None
