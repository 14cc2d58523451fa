"""What the tests of emitting share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from events import unified_event_manager
from tests.support.sent import Sent


@pytest.fixture
def sent() -> Iterator[Sent]:
    """Listens to the publisher."""
    sent = Sent()
    unified_event_manager.writer.publisher.listen(sent.listener)
    yield sent
    unified_event_manager.writer.publisher.unlisten(sent.listener)
