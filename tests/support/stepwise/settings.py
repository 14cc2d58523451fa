"""The demo site's settings, with this app."""

from chatter_site.settings import *  # noqa: F403
from chatter_site.settings import INSTALLED_APPS as SITE_APPS

INSTALLED_APPS = [*SITE_APPS, "tests.support.stepwise"]
