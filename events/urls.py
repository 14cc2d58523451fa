"""The addresses of the health checks. The API's are in `events.api.urls`, the streams' in `events.delivery.routing`."""

from __future__ import annotations

from django.urls import path

from events.health import healthz, readyz

urlpatterns = [path("healthz", healthz, name="healthz"), path("readyz", readyz, name="readyz")]
