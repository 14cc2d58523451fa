"""Incidents with their evidence and what is said about them, alerts on their way, cool-offs, and what is counted."""

from __future__ import annotations

from typing import Final

from django.db import models

from events.types import MAX_LABEL_LENGTH


class Severity(models.TextChoices):
    """How bad it is. CRITICAL ones notify the administrators' browsers."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


# From the least on.
SEVERITIES: Final = list(Severity)


class Incident(models.Model):
    """An attack, or something that looks like one: opened once, updated while it goes on, closed when it is quiet or by a person.

    `subject` names what it is about (`address 203.0.113.9`); `address` and `account` (a user's id) are parts of it that have a history.
    `numbers` is what was counted, as the detector says; `events` how many events belong to it; `digests` as what severity it was told in which
    digests (`Delivery`), by their ids.
    """

    class State(models.TextChoices):
        """ACKNOWLEDGED: a person looks after it."""

        OPEN = "open"
        ACKNOWLEDGED = "acknowledged"
        CLOSED = "closed"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=40)
    severity = models.CharField(max_length=16, choices=Severity)
    state = models.CharField(max_length=16, choices=State, default=State.OPEN)
    subject = models.CharField(max_length=255)
    summary = models.CharField(max_length=255)
    address = models.CharField(max_length=64, blank=True)
    account = models.CharField(max_length=MAX_LABEL_LENGTH, blank=True)
    numbers = models.JSONField(default=dict)
    events = models.PositiveBigIntegerField(default=0)
    digests = models.JSONField(default=dict)
    correlation_id = models.CharField("correlation", max_length=MAX_LABEL_LENGTH)
    opened_at = models.DateTimeField("opened")
    last_event_at = models.DateTimeField("last event")
    closed_at = models.DateTimeField("closed", null=True)
    closed_by = models.CharField(max_length=255, blank=True)

    class Meta:
        default_permissions = ("view", "change")
        ordering = ["-last_event_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=~models.Q(state="closed"), name="security_one_open_incident"
            )
        ]
        indexes = [
            models.Index(fields=["state", "severity", "last_event_at"], name="security_incident_state"),
            models.Index(fields=["-last_event_at", "-id"], name="security_incident_latest"),
        ]

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')}: {self.subject}"


class Evidence(models.Model):
    """An event that belongs to an incident: the first ones and the latest ones are kept (`security.evidence`)."""

    id = models.BigAutoField(primary_key=True)
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="evidence")
    event_id = models.CharField(max_length=64)
    event_type = models.CharField(max_length=100)
    correlation_id = models.CharField(max_length=MAX_LABEL_LENGTH, null=True)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["incident", "event_id"], name="security_evidence_once")]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class Remark(models.Model):
    """What was done with an incident, by whom, and said about it."""

    class Act(models.TextChoices):
        """NOTED: only said."""

        OPENED = "opened"
        ACKNOWLEDGED = "acknowledged"
        NOTED = "noted"
        CLOSED = "closed"

    id = models.BigAutoField(primary_key=True)
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="remarks")
    act = models.CharField(max_length=16, choices=Act)
    author = models.CharField(max_length=255)
    text = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.act} by {self.author}"


class Delivery(models.Model):
    """An alert on its way to a mailbox or a webhook. Tried again, later each time, until it is there or given up.

    Without an incident it is a digest, of those that a target did not hear of one by one (`security.alerts.digests`): `counts` is how many, by
    severity and kind. Such rows instead of one for each incident keep the table small.
    """

    class State(models.TextChoices):
        """HELD: a digest that is not due and still counts. FAILED: given up, after `SECURITY["DELIVERY_ATTEMPTS"]`."""

        HELD = "held"
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    id = models.BigAutoField(primary_key=True)
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="deliveries", null=True)
    channel = models.CharField(max_length=16, choices=[("mail", "E-mail"), ("webhook", "Webhook")])
    target = models.CharField(max_length=255)
    state = models.CharField(max_length=16, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.CharField(max_length=255, blank=True)
    counts = models.JSONField(default=dict)
    held_since = models.DateTimeField(null=True)
    held_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["incident", "channel", "target"], name="security_delivery_once"),
            models.UniqueConstraint(
                fields=["channel", "target"], condition=models.Q(state="held"), name="security_one_digest_held"
            ),
        ]
        indexes = [models.Index(fields=["state", "next_attempt_at"], name="security_delivery_due")]

    def __str__(self) -> str:
        return f"{self.channel} to {self.target}"


class CoolOff(models.Model):
    """No attempts to sign in for a while: of a pair of address and account first, then of an address or an account. Never for ever."""

    id = models.BigAutoField(primary_key=True)
    subject = models.CharField(max_length=255, unique=True)
    address = models.CharField(max_length=64, blank=True)
    account = models.CharField(max_length=MAX_LABEL_LENGTH, blank=True)
    since = models.DateTimeField()
    until = models.DateTimeField(db_index=True)
    times = models.PositiveIntegerField(default=1)

    class Meta:
        default_permissions = ("view", "delete")
        ordering = ["-until"]
        verbose_name = "cool-off"

    def __str__(self) -> str:
        return f"{self.subject} until {self.until:%Y-%m-%d %H:%M}"


class KnownNetwork(models.Model):
    """An account signed in from there. `account` is the hash of its username, as enforcement counts it; `network` an address, of IPv6 a
    /64."""

    id = models.BigAutoField(primary_key=True)
    account = models.CharField(max_length=MAX_LABEL_LENGTH)
    network = models.CharField(max_length=64)
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["account", "network"], name="security_known_once")]

    def __str__(self) -> str:
        return f"{self.account} from {self.network}"


class Counter(models.Model):
    """What was counted for one key (`security.counters`). `hits` are the newest, as [seconds since 1970, member]; once it is expired, none
    of them counts any more."""

    key = models.CharField(max_length=255, primary_key=True)
    hits = models.JSONField(default=list)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.key


class Remembered(models.Model):
    """What was seen before, so that what is new shows: values of a subject, such as an account's devices. Bounded (`security.memory`). No
    secret: tokens and devices are keyed hashes."""

    class Kind(models.TextChoices):
        """DEVICE: of an account. TOKEN_NETWORK: from where a token is used. REVOKED_TOKEN: whose it was. PROXY: a peer that sends
        `X-Forwarded-For` and is not declared."""

        DEVICE = "device"
        TOKEN_NETWORK = "token_network"  # noqa: S105 - the name of a kind
        REVOKED_TOKEN = "revoked_token"  # noqa: S105
        PROXY = "proxy"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=16, choices=Kind)
    subject = models.CharField(max_length=MAX_LABEL_LENGTH)
    value = models.CharField(max_length=MAX_LABEL_LENGTH)
    seen_at = models.DateTimeField("last seen")

    class Meta:
        default_permissions = ()
        verbose_name = verbose_name_plural = "remembered"
        constraints = [models.UniqueConstraint(fields=["kind", "subject", "value"], name="security_remembered_once")]
        indexes = [models.Index(fields=["kind", "seen_at"], name="security_remembered_age")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject}: {self.value}"
