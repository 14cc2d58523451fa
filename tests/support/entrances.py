"""Ways in through which the same is done: sync and async views, Django REST framework, Channels, a command. For the tests of the security sources.

What is done is done to the account "bob", with the functions that each way has for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from asgiref.sync import async_to_sync
from channels.auth import login as channels_login
from channels.auth import logout as channels_logout
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from django.contrib.auth import aauthenticate, alogin, alogout, authenticate, login, logout
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

PASSWORD = "correct horse battery staple"
BACKEND = "django.contrib.auth.backends.ModelBackend"
SIGN_IN, SIGN_OUT = "sign in", "sign out"


def bob() -> User:
    return User.objects.get(username="bob")


async def abob() -> User:
    return await User.objects.aget(username="bob")


def editors() -> Group:
    return Group.objects.get(name="editors")


async def aeditors() -> Group:
    return await Group.objects.aget(name="editors")


def add_user() -> Permission:
    return Permission.objects.get(codename="add_user", content_type__app_label="auth")


async def aadd_user() -> Permission:
    return await Permission.objects.aget(codename="add_user", content_type__app_label="auth")


def change(**values: Any) -> None:
    user = bob()
    for name, value in values.items():
        setattr(user, name, value)
    user.save()


async def achange(**values: Any) -> None:
    user = await abob()
    for name, value in values.items():
        setattr(user, name, value)
    await user.asave()


def set_password() -> None:
    user = bob()
    user.set_password(PASSWORD)
    user.save()


async def aset_password() -> None:
    user = await abob()
    user.set_password(PASSWORD)
    await user.asave()


def revoke() -> None:
    add_user().user_set.clear()


async def ajoin() -> None:
    await (await abob()).groups.aadd(await aeditors())


async def aexpel() -> None:
    await (await aeditors()).user_set.aremove(await abob())


async def agrant() -> None:
    await (await abob()).user_permissions.aadd(await aadd_user())


async def arevoke() -> None:
    await (await aadd_user()).user_set.aclear()


async def aempower() -> None:
    await (await aeditors()).permissions.aadd(await aadd_user())


async def amake_token() -> None:
    await Token.objects.acreate(user_id=(await abob()).pk)


async def arevoke_token() -> None:
    await (await Token.objects.aget()).adelete()


async def adelete() -> None:
    await (await abob()).adelete()


# In the order in which they are done: what happened, the same with Django's asynchronous functions, and what it is told as.
ACTS: Final[dict[str, tuple[Callable[[], Any], Callable[[], Awaitable[Any]], str]]] = {
    "create": (lambda: User.objects.create_user("bob"), lambda: User.objects.acreate_user("bob"), "account.created"),
    "set the password": (set_password, aset_password, "account.password_changed"),
    "fail": (
        lambda: authenticate(username="bob", password="wrong"),
        lambda: aauthenticate(username="bob", password="wrong"),
        "auth.login_failure",
    ),
    "set the address": (
        lambda: change(email="bob@example.org"),
        lambda: achange(email="bob@example.org"),
        "account.email_changed",
    ),
    "promote": (lambda: change(is_staff=True), lambda: achange(is_staff=True), "account.permissions_changed"),
    "join": (lambda: bob().groups.add(editors()), ajoin, "account.permissions_changed"),
    "expel": (lambda: editors().user_set.remove(bob()), aexpel, "account.permissions_changed"),
    "grant": (lambda: bob().user_permissions.add(add_user()), agrant, "account.permissions_changed"),
    "revoke": (revoke, arevoke, "account.permissions_changed"),
    "empower": (lambda: editors().permissions.add(add_user()), aempower, "group.permissions_changed"),
    "make a token": (lambda: Token.objects.create(user_id=bob().pk), amake_token, "token.created"),
    "revoke the token": (lambda: Token.objects.get().delete(), arevoke_token, "token.revoked"),
    "deactivate": (lambda: change(is_active=False), lambda: achange(is_active=False), "account.deactivated"),
    "delete": (lambda: bob().delete(), adelete, "account.deleted"),
}


def act(request: HttpRequest, name: str) -> HttpResponse:
    """A view: does it."""
    if name == SIGN_IN:
        login(request, authenticate(request, username="bob", password=PASSWORD), backend=BACKEND)
    elif name == SIGN_OUT:
        logout(request)
    else:
        ACTS[name][0]()
    return HttpResponse("done")


async def aact(request: HttpRequest, name: str) -> HttpResponse:
    """The same as an asynchronous view."""
    if name == SIGN_IN:
        await alogin(request, await aauthenticate(request, username="bob", password=PASSWORD), backend=BACKEND)
    elif name == SIGN_OUT:
        await alogout(request)
    else:
        await ACTS[name][1]()
    return HttpResponse("done")


class Act(APIView):
    """The same as a view of Django REST framework."""

    authentication_classes = [SessionAuthentication]
    permission_classes = [AllowAny]

    def get(self, request: Request, name: str) -> Response:
        act(request._request, name)
        return Response("done")


class Basic(APIView):
    """Takes a username and a password with each request."""

    authentication_classes = [BasicAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response("done")


class ActConsumer(WebsocketConsumer):
    """The same as a consumer: does what it is told, and says "done"."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        name = text_data or ""
        if name == SIGN_IN:
            user = authenticate(username="bob", password=PASSWORD)
            async_to_sync(channels_login)(self.scope, user, BACKEND)
        elif name == SIGN_OUT:
            async_to_sync(channels_logout)(self.scope)
        else:
            ACTS[name][0]()
        self.send("done")


class AsyncActConsumer(AsyncWebsocketConsumer):
    """The same as an asynchronous consumer."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        name = text_data or ""
        if name == SIGN_IN:
            await channels_login(self.scope, await aauthenticate(username="bob", password=PASSWORD), BACKEND)
        elif name == SIGN_OUT:
            await channels_logout(self.scope)
        else:
            await ACTS[name][1]()
        await self.send("done")


urlpatterns = [
    path("act/<name>/", act),
    path("aact/<name>/", aact),
    path("api/act/<name>/", Act.as_view()),
    path("api/basic/", Basic.as_view()),
]
websocket_urlpatterns = [path("act/", ActConsumer.as_asgi()), path("aact/", AsyncActConsumer.as_asgi())]
