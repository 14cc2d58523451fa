"""The ASGI application: the event streams, and Django for the rest."""

import os
import warnings

from django.core.asgi import get_asgi_application

# WhiteNoise hands Django a file, which Django reads in a thread and warns of. Static files are small, and browsers keep them.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatter_site.settings")
django_application = get_asgi_application()

# Imported after get_asgi_application() has loaded the apps.
from events.delivery.routing import with_events

application = with_events(django_application)
