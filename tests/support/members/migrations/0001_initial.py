from __future__ import annotations

import uuid
from typing import Any

from django.db import migrations, models


def fields() -> list[tuple[str, Any]]:
    """Those that both have."""
    return [
        ("password", models.CharField(max_length=128, verbose_name="password")),
        ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
        ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
        ("email", models.EmailField(max_length=254, unique=True)),
        ("is_active", models.BooleanField(default=True)),
        ("is_locked", models.BooleanField(default=False)),
    ]


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel("Member", fields(), {"abstract": False}),
        migrations.CreateModel("Keeper", [*fields(), ("is_admin", models.BooleanField(default=False))], {"abstract": False}),
    ]
