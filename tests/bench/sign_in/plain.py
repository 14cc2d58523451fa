"""The settings of Django alone, and of django-axes upon it: as it comes (by address), by account, or by pair."""

from __future__ import annotations

import os
from datetime import timedelta

CONTESTANT = os.environ["CONTESTANT"]
SECRET_KEY = "bench-" * 8
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "tests.bench.sign_in.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"]
AUTHENTICATION_BACKENDS = ["tests.bench.sign_in.counting.Counting"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["BENCH_DATABASE"],
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
# Nobody waits for lines that are printed.
LOGGING = {"version": 1, "handlers": {"none": {"class": "logging.NullHandler"}}, "root": {"handlers": ["none"]}}

if CONTESTANT.startswith("axes"):
    INSTALLED_APPS += ["axes"]
    MIDDLEWARE += ["axes.middleware.AxesMiddleware"]
    AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", *AUTHENTICATION_BACKENDS]
if CONTESTANT == "axes-account":
    AXES_LOCKOUT_PARAMETERS: list[str | list[str]] = ["username"]
if CONTESTANT == "axes-pair":
    AXES_FAILURE_LIMIT = 5
    AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
    AXES_COOLOFF_TIME = timedelta(minutes=1)
    AXES_RESET_ON_SUCCESS = True
