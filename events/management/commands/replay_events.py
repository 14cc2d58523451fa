"""Replay events of the journal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from events.journal import read_head
from events.management.commands._options import add_selection_arguments, add_time_arguments, selection_of
from events.replay import Replay, Target
from events.stats import stats


class Stop:
    """Set by the first Ctrl-C: what is being replayed is finished first, so that a resumed replay neither repeats nor skips it."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        return self.requested

    @contextmanager
    def on_interrupt(self) -> Iterator[None]:
        """Within the block the first SIGINT (or SIGTERM) requests the stop, a second one interrupts."""
        previous = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, signal.default_int_handler)


RECIPIENTS = {Target.HANDLERS: "handlers", Target.BROWSERS: "browsers", Target.BOTH: "handlers and browsers"}


class Command(BaseCommand):
    """`replay_events --since 2h --categories security --to handlers --dry-run`."""

    help = (
        "Publish or handle events of the journal again. Rules and audit do not see them again. "
        "Ctrl-C stops it in good order and prints how to go on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_time_arguments(parser)
        add_selection_arguments(parser)
        parser.add_argument(
            "--to", choices=[str(target) for target in Target], required=True, help="the handlers, the browsers, or both"
        )
        parser.add_argument("--rate", type=float, metavar="N", help="at most N events a second (default: as fast as it goes)")
        parser.add_argument(
            "--after", type=int, default=0, metavar="POSITION", help="only what follows this position of the journal"
        )
        parser.add_argument(
            "--upto", type=int, metavar="POSITION", help="nothing after this position (default: the last one now)"
        )
        parser.add_argument("--include-replayed", action="store_true", help="also what an earlier replay published")
        parser.add_argument("--dry-run", action="store_true", help="say what would be replayed, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        replay = _replay_of(options)
        if options["dry_run"]:
            self._preview(replay)
            return
        errors = stats.snapshot()["handler_errors"]
        stop = Stop()
        with stop.on_interrupt():
            position, number = self._run(replay, stop)
        failed = stats.snapshot()["handler_errors"] - errors
        if failed:
            self.stderr.write(f"Handlers failed {failed} times: the log says how.")
        if stop.requested and position < replay.upto:
            self.stdout.write(f"Stopped after {number} events. To go on: {_resume(replay, position)}")
        else:
            self.stdout.write(self.style.SUCCESS(f"Replayed {number} events to {RECIPIENTS[replay.target]}."))

    def _run(self, replay: Replay, stop: Stop) -> tuple[int, int]:
        position, number = replay.after, 0
        try:
            with _progress_bar(shown=self.stderr.isatty()) as progress:
                task = progress.add_task("Replaying", total=replay.total())
                for step in replay.run(stop):
                    position, number = step.position, number + step.replayed
                    progress.advance(task, step.rows)
        except (DatabaseError, KeyboardInterrupt) as error:
            reason = "Interrupted" if isinstance(error, KeyboardInterrupt) else f"The database failed ({error})"
            raise CommandError(f"{reason} after {number} events. To go on: {_resume(replay, position)}") from error
        return position, number

    def _preview(self, replay: Replay) -> None:
        types = replay.preview()
        for event_type, number in sorted(types.items()):
            self.stdout.write(f"{number:8}  {event_type}")
        self.stdout.write(
            f"{types.total():8}  events of the positions after {replay.after} up to {replay.upto} would be replayed to {RECIPIENTS[replay.target]}"
        )


def _replay_of(options: dict[str, Any]) -> Replay:
    if options["rate"] is not None and not 0 < options["rate"] < float("inf"):
        raise CommandError("rate: must be more than 0 events a second")
    for name in ("after", "upto"):
        if not 0 <= (options[name] or 0) < 2**63:
            raise CommandError(f"{name}: is not a position")
    return Replay(
        selection_of(options, timed=True),
        Target(options["to"]),
        after=options["after"],
        upto=read_head().position if options["upto"] is None else options["upto"],
        rate=options["rate"],
        include_replayed=options["include_replayed"],
    )


def _resume(replay: Replay, position: int) -> str:
    return f"--after {position} --upto {replay.upto}, with the same other options"


def _progress_bar(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)  # not self.stderr, which makes all red
