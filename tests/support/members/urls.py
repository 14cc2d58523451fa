"""The project's addresses: with the admin, where the users are such as it can ask."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth import views as auth
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import include, path
from rest_framework.exceptions import PermissionDenied

from tests.support.refusing import Api, fine

TEMPLATE = "{% load events audit %}{% event_stream %}{% audit_timeline_url user as url %}history:{{ url }}"


def page(request: HttpRequest) -> HttpResponse:
    """A page of the project with what we have for templates."""
    return HttpResponse(engines["django"].from_string(TEMPLATE).render({"user": request.user}, request))


urlpatterns = [
    path("", include("events.urls")),
    path("api/", include("audit.api.urls")),
    path("api/", include("events.api.urls")),
    path("api/fine/", Api.as_view()),
    path("fine/", fine),
    path("page/", page),
    path("api/denied/", Api.as_view(error=PermissionDenied)),
    path("login/", auth.LoginView.as_view(success_url="/fine/", next_page="/fine/"), name="login"),
    path("logout/", auth.LogoutView.as_view(next_page="/fine/"), name="logout"),
    path("reset/", auth.PasswordResetView.as_view(success_url="/fine/")),
    path("reset/<uidb64>/<token>/", auth.PasswordResetConfirmView.as_view(success_url="/fine/"), name="password_reset_confirm"),
]
if hasattr(get_user_model(), "has_perm"):
    urlpatterns.append(path("admin/", admin.site.urls))
