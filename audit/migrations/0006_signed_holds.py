from typing import Any

from django.db import migrations, models

from audit.evidence.rebuilding import ProtectedMigration


def drop_primary_key(apps: Any, schema_editor: Any) -> None:
    """PostgreSQL adds no second one; SQLite moves it with the field."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE audit_erasure DROP CONSTRAINT audit_erasure_pkey")


class Migration(ProtectedMigration):
    dependencies = [("audit", "0005_lean_indexes")]

    operations = [
        migrations.AlterField("auditseal", "number", models.BigAutoField(primary_key=True, serialize=False)),
        migrations.RunPython(drop_primary_key),
        migrations.AddField("auditerasure", "id", models.BigAutoField(primary_key=True, serialize=False)),
        migrations.AlterField("auditerasure", "row_id", models.BigIntegerField(db_index=True)),
        # A removal that was signed without its seal's digest explains nothing any more.
        migrations.AddField("auditremoval", "seal_digest", models.CharField(default="", max_length=64), preserve_default=False),
        # A hold of before is not signed: it stays in force, and verification tells of it.
        migrations.AlterField("legalhold", "releases", models.BigIntegerField(default=0)),
        migrations.AlterField("legalhold", "placed_at", models.CharField(max_length=27)),
        migrations.AddField(
            "legalhold", "released", models.CharField(blank=True, default="", max_length=64), preserve_default=False
        ),
        migrations.AddField("legalhold", "format", models.IntegerField(default=1), preserve_default=False),
        migrations.AddField(
            "legalhold", "key_id", models.CharField(default="", max_length=32, verbose_name="key"), preserve_default=False
        ),
        migrations.AddField("legalhold", "algorithm", models.CharField(default="", max_length=16), preserve_default=False),
        migrations.AddField("legalhold", "signature", models.CharField(default="", max_length=128), preserve_default=False),
    ]
