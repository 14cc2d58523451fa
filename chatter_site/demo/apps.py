from django.apps import AppConfig


class DemoConfig(AppConfig):
    """A small real application: upload a text file, watch it being split into chunks."""

    name = "chatter_site.demo"
    label = "demo"
    verbose_name = "Demo"
