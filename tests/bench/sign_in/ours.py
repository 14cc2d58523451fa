"""The settings of this project: the demo site's, with the page that is attacked."""

from __future__ import annotations

import os

from chatter_site.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.sign_in.urls"
AUTHENTICATION_BACKENDS = ["security.backends.GuardBackend", "tests.bench.sign_in.counting.Counting"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "events.context.EventContextMiddleware",
]
AUDIT = {"SEAL_IN_BACKGROUND": False}
SECURITY = {"ENFORCE": os.environ["CONTESTANT"] == "ours-enforcing", "TEND_IN_BACKGROUND": False}
# Nobody waits for lines that are printed.
LOGGING = {"version": 1, "handlers": {"none": {"class": "logging.NullHandler"}}, "root": {"handlers": ["none"]}}
