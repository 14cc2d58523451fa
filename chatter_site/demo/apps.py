from django.apps import AppConfig
from django.db.models.signals import post_delete

import events


class DemoConfig(AppConfig):
    """A small real application: upload a text file, watch it being split into chunks."""

    name = "chatter_site.demo"
    label = "demo"
    verbose_name = "Demo"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        events.connect_signal(
            post_delete,
            sender=self.get_model("Document"),
            event_type="document.deleted",
            data=lambda instance, **kwargs: {"document_id": str(instance.pk), "filename": instance.name},
            user_id=lambda instance, **kwargs: instance.owner_id,
        )
