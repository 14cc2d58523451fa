"""The page that is attacked."""

from __future__ import annotations

from django.contrib.auth import authenticate, login
from django.http import HttpRequest, HttpResponse
from django.urls import path


def sign_in(request: HttpRequest) -> HttpResponse:
    """200 and a session, or 403."""
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=403)
    login(request, user)
    return HttpResponse()


urlpatterns = [path("login/", sign_in)]
