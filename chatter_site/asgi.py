"""The ASGI application: the event streams, and Django for the rest."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatter_site.settings")
django_application = get_asgi_application()

# Imported after get_asgi_application() has loaded the apps.
from events.delivery.routing import with_events

application = with_events(django_application)
