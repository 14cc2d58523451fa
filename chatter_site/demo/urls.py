"""The console at `/`, and the documents."""

from django.urls import path

from chatter_site.demo import views

urlpatterns = [
    path("", views.home, name="home"),
    path("documents/", views.Documents.as_view(), name="documents"),
    path("documents/<int:document_id>/", views.document, name="document"),
    path("documents/<int:document_id>/delete/", views.delete_document, name="document-delete"),
]
