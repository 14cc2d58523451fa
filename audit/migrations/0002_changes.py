from django.db import migrations, models

import audit.models


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="auditentry",
            name="actor_id",
            field=models.CharField(max_length=128, null=True, verbose_name="actor id"),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="actor_type",
            field=models.CharField(blank=True, max_length=16),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="changes",
            field=models.JSONField(encoder=audit.models.EventEncoder, null=True),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="impersonator",
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="resource_label",
            field=models.CharField(blank=True, max_length=255, verbose_name="resource"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="source_category",
            field=models.CharField(
                choices=[
                    ("realtime", "Realtime"),
                    ("security", "Security"),
                    ("audit", "Audit"),
                    ("monitoring", "Monitoring"),
                    ("streaming", "Streaming"),
                    ("analytics", "Analytics"),
                    ("workflow", "Workflow"),
                    ("change", "Change"),
                ],
                max_length=16,
                verbose_name="category",
            ),
        ),
    ]
