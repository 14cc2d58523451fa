"""The site's addresses. The streams (/events/stream, /ws/events/) are in chatter_site.asgi."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

urlpatterns = [
    path("", include("chatter_site.demo.urls")),
    path("", include("events.urls")),
    path("api/", include("audit.api.urls")),
    path("api/", include("events.api.urls")),
    path("accounts/login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
