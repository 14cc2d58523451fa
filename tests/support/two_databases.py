"""Settings of a site whose events are in a database of their own, `log`: named by LOG_DATABASE_URL."""

import os

import dj_database_url

from chatter_site.settings import *  # noqa: F403
from chatter_site.settings import DATABASES as SITE_DATABASES
from chatter_site.settings import STORAGES as SITE_STORAGES

LOG = dj_database_url.parse(os.environ["LOG_DATABASE_URL"])
DATABASES = SITE_DATABASES | {"log": SITE_DATABASES["default"] | LOG}
EVENTS = {"DATABASE": "log"}
AUDIT = {"SEAL_IN_BACKGROUND": False}
SECURITY = {"DELIVER_IN_BACKGROUND": False, "TEND_IN_BACKGROUND": False, "ALERT_MAIL": ["ops@example.org"]}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = SITE_STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
ALLOWED_HOSTS = ["testserver"]
SILENCED_SYSTEM_CHECKS = ["audit.E003"]  # the demo's documents are tracked, and nobody touches them here
