"""What was published, in order and whole, for the hub of one event loop.

Batches come from the process's own publisher and over the doorbell. What they do not bring (a ring that was lost, another
process with no channel layer between) is read from the journal: at once where a batch leaves a gap, else within a poll interval.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from events import journal
from events.batch import PROCESS, Batch, Published
from events.conf import settings
from events.cursor import Cursor
from events.delivery.history import History, read_end
from events.delivery.listening import Listener
from events.delivery.recent import Recent
from events.delivery.threads import DatabaseThreads
from events.manager import unified_event_manager
from events.stats import stats

logger = logging.getLogger("events.hub")

PAGE = 100


class Feed:
    """Calls `deliver` with what was published since it started, each event once and in order, and `begun_anew` when nothing that
    was delivered leads on to what comes now: then the journal was lost, restored or pruned. Both in the event loop.

    `epoch` and `position` are those of the last event that was delivered, `recent` holds some of those before it.
    """

    def __init__(self, deliver: Callable[[Sequence[Published]], None], begun_anew: Callable[[], None]) -> None:
        self.epoch = ""
        self.position = 0
        self._deliver = deliver
        self._begun_anew = begun_anew
        self._history = History()
        self.recent = Recent()
        self._arrived: deque[Batch] = deque()
        self._behind = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._reader = DatabaseThreads("events-feed", 1, keep=True)
        self._listener = Listener(self._hear, self._behind.set)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def cursor(self) -> Cursor:
        """The place of the last event that was delivered."""
        return Cursor(self.epoch, self.position)

    async def start(self) -> None:
        """Begin at the journal's end and keep up from there. Raises what reading the journal raises."""
        head, last = await self._reader.run(read_end)
        self.epoch, self.position = head.epoch, head.position
        self._history.begin(last)
        unified_event_manager.writer.publisher.listen(self._from_publisher)
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._listener.listen())]

    def stop(self) -> None:
        """Deliver no more."""
        if self._tasks:
            unified_event_manager.writer.publisher.unlisten(self._from_publisher)
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._reader.stop()

    async def read_on(self) -> None:
        """Deliver what the journal has more, if it is still the same journal. Raises what reading it raises."""
        self._behind.clear()
        before = self.cursor  # while the head is read, batches go on arriving: it may be older than they are
        head, is_same = await self._history.look(self._reader.run)
        if self.epoch != before.epoch:  # somebody else looked meanwhile
            return
        if head.epoch == self.epoch and (not is_same or head.position < before.position):
            await self._reader.run(partial(journal.replace_epoch, head.epoch))
            await self._begin_anew("The journal was restored", before.epoch)
        elif head.epoch != self.epoch:
            await self._begin_anew("The journal was lost or restored", before.epoch)
        while self.position < head.position and self.epoch == head.epoch:
            after = self.position
            events = await self._reader.run(partial(journal.read, after, PAGE))
            if not events or events[0].position > after + 1:
                await self._begin_anew("The journal was pruned past what was delivered", head.epoch)
                return
            # What the publisher or the doorbell brought meanwhile has been delivered.
            new = [event for event in events if event.position > self.position]
            self._deliver(new)
            if new:
                self.recent.add(new)
                self.position = new[-1].position
                self._history.went_on(new[-1])

    def _from_publisher(self, batch: Batch) -> None:
        """Called in the publisher's thread."""
        self._arrived.append(batch)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._receive)

    def _receive(self) -> None:
        """Deliver what has arrived and follows on what was delivered, in one go: while many batches come, each connection is
        written to once for all of them. Of a batch that leaves a gap only note that there is more."""
        position, events = self.position, []
        while self._arrived:
            batch = self._arrived.popleft()
            if not batch.epoch:
                events += batch.events
            elif batch.epoch == self.epoch and batch.events and batch.events[0].position <= position + 1:
                if batch.events[0].position <= position:  # late, or of a journal that was restored
                    self._history.mark()
                if batch.last > position:
                    new = batch.events[position + 1 - batch.events[0].position :]
                    events += new
                    self.recent.add(new)
                    position = batch.last
                    self._history.went_on(batch.events[-1])
            elif batch.epoch != self.epoch or batch.last > position:
                self._behind.set()
        if events:
            self._deliver(events)
        self.position = position

    async def _follow(self) -> None:
        """Keep up with the journal: at once after a gap, and once in a poll interval in any case."""
        while True:
            try:
                await self.read_on()
            except Exception:  # whatever happens here must not end delivery: log, count, look again
                stats.count("hub_errors")
                logger.exception("The hub can't read the journal; trying again within %s s", settings().POLL_INTERVAL)
            try:
                async with asyncio.timeout(settings().POLL_INTERVAL):
                    await self._behind.wait()
            except TimeoutError:
                pass

    async def _begin_anew(self, why: str, epoch: str) -> None:
        """Does nothing if that was found out already in this epoch."""
        head, last = await self._reader.run(read_end)
        if self.epoch == epoch:
            logger.warning("%s; clients start anew in epoch %s", why, head.epoch)
            self.epoch, self.position = head.epoch, head.position
            self.recent.clear()
            self._history.begin(last)
            self._begun_anew()

    def _hear(self, message: dict[str, Any]) -> None:
        try:
            if message["sender"] != PROCESS:
                self._arrived.append(Batch.from_message(message))
                self._receive()
        except (KeyError, TypeError):  # rung by another version of this program
            stats.count("hub_errors")
            self._behind.set()
