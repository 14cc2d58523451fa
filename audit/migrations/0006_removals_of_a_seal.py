from typing import Any

from django.db import migrations, models

from audit.evidence import triggers


def install_triggers(apps: Any, schema_editor: Any) -> None:
    triggers.install(schema_editor.connection)


def uninstall_triggers(apps: Any, schema_editor: Any) -> None:
    triggers.uninstall(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0005_lean_indexes"),
    ]

    operations = [
        # SQLite makes the table anew, and the triggers of others name it.
        migrations.RunPython(uninstall_triggers, install_triggers),
        # A removal that was signed without it explains nothing any more.
        migrations.AddField(
            model_name="auditremoval",
            name="seal_digest",
            field=models.CharField(default="", max_length=64),
            preserve_default=False,
        ),
        migrations.RunPython(install_triggers, uninstall_triggers),
    ]
