"""The API's addresses, with its schema (OpenAPI) and pages that show it."""

from __future__ import annotations

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from events.api.views import Event, Events, Stats

urlpatterns = [
    path("events/", Events.as_view(), name="api-events"),
    path("events/stats/", Stats.as_view(), name="api-stats"),
    path("events/<str:event_id>/", Event.as_view(), name="api-event"),
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
]
