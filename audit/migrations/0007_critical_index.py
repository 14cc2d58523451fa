from django.db import migrations, models

from audit.evidence.rebuilding import ProtectedMigration


class Migration(ProtectedMigration):
    dependencies = [("audit", "0006_signed_holds")]

    operations = [
        migrations.AddIndex(
            "auditentry",
            models.Index(fields=["timestamp"], condition=models.Q(priority="critical"), name="audit_critical_time"),
        ),
    ]
