from django.db import migrations, models

from audit.evidence.rebuilding import ProtectedMigration


class Migration(ProtectedMigration):
    dependencies = [("audit", "0003_trust")]

    operations = [
        migrations.AlterModelOptions(
            name="auditentry",
            options={
                "default_permissions": ("view",),
                "ordering": ["-id"],
                "permissions": [
                    ("export_auditentry", "Can export the audit log"),
                    ("verify_auditentry", "Can verify the audit log"),
                ],
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit log",
            },
        ),
        migrations.RemoveIndex(
            model_name="auditentry",
            name="audit_timestamp",
        ),
        migrations.RemoveIndex(
            model_name="auditentry",
            name="audit_correlation",
        ),
        migrations.RemoveIndex(
            model_name="auditentry",
            name="audit_user",
        ),
        migrations.RemoveIndex(
            model_name="auditentry",
            name="audit_actor",
        ),
        migrations.RemoveIndex(
            model_name="auditentry",
            name="audit_resource",
        ),
        migrations.RemoveIndex(
            model_name="auditentry",
            name="audit_address",
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(
                fields=["timestamp", "source_category", "outcome", "priority", "action", "resource_type"], name="audit_time"
            ),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["correlation_id", "timestamp"], name="audit_correlation_time"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["user_id", "timestamp"], name="audit_user_time"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["actor_label", "timestamp"], name="audit_actor_time"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["resource_id", "resource_type", "timestamp"], name="audit_resource_time"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["ip_address", "timestamp"], name="audit_address_time"),
        ),
    ]
