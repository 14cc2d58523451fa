"""What the security monitor remembers: the latest failed logins of each address and account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import models

from events.types import MAX_LABEL_LENGTH


class KeyKind(models.TextChoices):
    """What failures are counted by. USERNAME: one that is no account's, as a keyed hash (`security.accounts`)."""

    ADDRESS = "address"
    ACCOUNT = "account"
    USERNAME = "username", "Unknown username"


class FailureWindow(models.Model):
    """The failed logins of one key within the last window. `recent` holds the newest moments (seconds since 1970), at most as
    many as the threshold."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=16, choices=KeyKind)
    key = models.CharField(max_length=MAX_LABEL_LENGTH)
    recent = models.JSONField(default=list)
    last_failure = models.DateTimeField()
    alerted_at = models.DateTimeField("alerted", null=True)
    since_alert = models.PositiveIntegerField("failures since then", default=0)
    # When it was counted, which is later than the failure where that was told late: what was just counted is no rubbish.
    counted_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ("view",)
        ordering = ["-counted_at"]
        verbose_name = verbose_name_plural = "failed logins"
        constraints = [models.UniqueConstraint(fields=["kind", "key"], name="security_one_window_a_key")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    def add(self, at: datetime, threshold: int, window: timedelta) -> bool:
        """Count a failure. Whether it is the one to raise an alert for: the threshold is reached, and the last alert is a
        window ago."""
        moments = sorted([*self.recent, at.timestamp()])[-threshold:]
        newest = moments[-1]
        self.recent = [moment for moment in moments if moment > newest - window.total_seconds()]
        self.last_failure = datetime.fromtimestamp(newest, UTC)
        self.since_alert += 1
        return len(self.recent) >= threshold and (self.alerted_at is None or self.last_failure - self.alerted_at >= window)

    @property
    def first_failure(self) -> datetime:
        """The oldest failure that is remembered."""
        return datetime.fromtimestamp(self.recent[0], UTC)
