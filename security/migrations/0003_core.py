from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("security", "0002_incidents"),
    ]

    operations = [
        migrations.DeleteModel(name="FailureWindow"),
        migrations.RenameField("counter", "counted_at", "expires_at"),
    ]
