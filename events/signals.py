"""Django signals in and out: any signal becomes an event, declared once; every routed event is a Django signal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.dispatch import Signal

# Sent after an event's handlers were called, with `event`; sender is EventRouter. Inside the emitter's transaction.
event_routed = Signal()
