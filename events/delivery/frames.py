"""What goes over the wire, for SSE and WebSocket, as ready ASGI messages (docs/wire.md).

Messages for a batch are made once for each wire format and shared by all clients that take it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import orjson

from events.batch import Published
from events.cursor import Cursor

Message = dict[str, Any]
# Characters after which a further message begins: a client that does not read is noticed between two messages.
PIECE = 65_536


class Wire(Protocol):
    """A wire format. Two of the same `key` make the same messages."""

    key: str

    def events(self, epoch: str, events: Sequence[Published]) -> list[Message]:
        """Events in order."""

    def opened(self, outcome: str, cursor: Cursor, heartbeat: float) -> list[Message]:
        """The greeting."""

    def heartbeat(self, cursor: Cursor, moved: bool) -> list[Message]:
        """A sign of life; `moved` if the cursor went on past events that the client did not get."""

    def closed(self, reason: str) -> list[Message]:
        """The end of the stream, with the reason."""


class SseWire:
    """Server-sent events: the events of a batch in as few body messages as `PIECE` allows. `named` puts an `event:` line on each."""

    def __init__(self, named: bool = False) -> None:
        self.named = named
        self.key = "sse-named" if named else "sse"

    def events(self, epoch: str, events: Sequence[Published]) -> list[Message]:
        return [_body("".join(piece)) for piece in _pieces(self._frame(epoch, event) for event in events)]

    def opened(self, outcome: str, cursor: Cursor, heartbeat: float) -> list[Message]:
        greeting = {"stream": "open", "outcome": outcome, "cursor": str(cursor), "heartbeat": heartbeat}
        return [_body(_control(greeting) + f"id: {cursor}\n\n")]

    def heartbeat(self, cursor: Cursor, moved: bool) -> list[Message]:
        return [_body(": heartbeat\n\n" + (f"id: {cursor}\n\n" if moved else ""))]

    def closed(self, reason: str) -> list[Message]:
        return [_body(_control({"stream": "close", "reason": reason}), more=False)]

    def _frame(self, epoch: str, event: Published) -> str:
        name = f"event: {event.event_type}\n" if self.named else ""
        place = f"id: {epoch}:{event.position}\n" if event.position else ""
        return f"{place}{name}data: {event.body}\n\n"


class WebSocketWire:
    """WebSocket: a message an event. `batched` sends several that are there at once as one message, a list of them."""

    # Of the range for applications: Daphne closes with no code of the protocol's own but 1000.
    close_codes: ClassVar[dict[str, int]] = {
        "connection_expired": 4001,
        "epoch_changed": 4002,
        "access_changed": 4003,
        "server_stopping": 4012,
        "slow_consumer": 4013,
        "signed_out": 4401,
    }

    def __init__(self, batched: bool = False) -> None:
        self.batched = batched
        self.key = "websocket-batched" if batched else "websocket"

    def events(self, epoch: str, events: Sequence[Published]) -> list[Message]:
        frames = [self._frame(epoch, event) for event in events]
        if not self.batched:
            return [_text(frame) for frame in frames]
        return [_text(piece[0] if len(piece) == 1 else f"[{','.join(piece)}]") for piece in _pieces(frames)]

    def opened(self, outcome: str, cursor: Cursor, heartbeat: float) -> list[Message]:
        return [_json({"stream": "open", "outcome": outcome, "cursor": str(cursor), "heartbeat": heartbeat})]

    def heartbeat(self, cursor: Cursor, moved: bool) -> list[Message]:
        return [_json({"stream": "heartbeat", "cursor": str(cursor)})]

    def closed(self, reason: str) -> list[Message]:
        code = self.close_codes[reason]
        return [_json({"stream": "close", "reason": reason}), {"type": "websocket.close", "code": code, "reason": reason}]

    def _frame(self, epoch: str, event: Published) -> str:
        return f'{event.body[:-1]},"cursor":"{epoch}:{event.position}"}}' if event.position else event.body


def _pieces(frames: Iterable[str]) -> Iterator[list[str]]:
    """The frames, as many together as come to `PIECE` characters."""
    piece, size = [], 0
    for frame in frames:
        piece.append(frame)
        size += len(frame)
        if size >= PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _control(values: dict[str, Any]) -> str:
    return f"event: stream:{values['stream']}\ndata: {orjson.dumps(values).decode()}\n\n"


def _body(text: str, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}


def _text(text: str) -> Message:
    return {"type": "websocket.send", "text": text}


def _json(values: dict[str, Any]) -> Message:
    return _text(orjson.dumps(values).decode())
