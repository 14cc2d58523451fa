"""Views that refuse, in each way that Django and Django REST framework have: for the tests of the security sources."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views as auth
from django.core.exceptions import PermissionDenied, SuspiciousFileOperation
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework import exceptions
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


def refuse(request: HttpRequest, secret: str) -> HttpResponse:
    raise PermissionDenied


async def arefuse(request: HttpRequest, secret: str) -> HttpResponse:
    raise PermissionDenied


def forbid(request: HttpRequest) -> HttpResponse:
    return HttpResponse("no", status=403)


def suspect(request: HttpRequest) -> HttpResponse:
    raise SuspiciousFileOperation("Attempted access to '../../etc/passwd' denied.")


async def asuspect(request: HttpRequest) -> HttpResponse:
    raise SuspiciousFileOperation("Attempted access to '../../etc/passwd' denied.")


def fine(request: HttpRequest) -> HttpResponse:
    return HttpResponse("yes")


async def afine(request: HttpRequest) -> HttpResponse:
    return HttpResponse("yes")


def promote(request: HttpRequest) -> HttpResponse:
    """Who asks makes themselves a superuser."""
    user: Any = request.user
    user.is_superuser = True
    user.save()
    return HttpResponse("yes")


class Api(APIView):
    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [AllowAny]
    error: type[exceptions.APIException] | None = None

    def get(self, request: Request) -> Response:
        if self.error is not None:
            raise self.error
        return Response({"user": str(request.user)})

    post = get


class OwnHandler(Api):
    """With an exception handler of the project's own, which says less."""

    def get_exception_handler(self) -> Any:
        return lambda error, context: Response({"message": "no"}, status=error.status_code)


class OwnHandlerSessionsFirst(OwnHandler):
    """A wrong token is answered with 403 there: sessions name no challenge."""

    authentication_classes = [SessionAuthentication, TokenAuthentication]


urlpatterns = [
    path("refuse/<secret>/", refuse),
    path("arefuse/<secret>/", arefuse),
    path("forbid/", forbid),
    path("suspect/", suspect),
    path("asuspect/", asuspect),
    path("fine/", fine),
    path("promote/", promote),
    path("afine/", afine),
    path("api/fine/", Api.as_view()),
    path("api/denied/", Api.as_view(error=exceptions.PermissionDenied)),
    path("api/unauthenticated/", Api.as_view(error=exceptions.NotAuthenticated)),
    path("api/failed/", Api.as_view(error=exceptions.AuthenticationFailed)),
    path("api/throttled/", Api.as_view(error=exceptions.Throttled)),
    path("api/own/denied/", OwnHandler.as_view(error=exceptions.PermissionDenied)),
    path("api/own/unauthenticated/", OwnHandler.as_view(error=exceptions.NotAuthenticated)),
    path("api/own/sessions/", OwnHandlerSessionsFirst.as_view()),
    path("api/own/throttled/", OwnHandler.as_view(error=exceptions.Throttled)),
    path(
        "reset/",
        auth.PasswordResetView.as_view(success_url="/fine/", email_template_name="registration/password_reset_email.html"),
    ),
    path("reset/<uidb64>/<token>/", auth.PasswordResetConfirmView.as_view(success_url="/fine/"), name="password_reset_confirm"),
    path("login/", auth.LoginView.as_view(), name="login"),
]
