"""Health: is the process alive (`/healthz`), can it do its work (`/readyz`)?"""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
