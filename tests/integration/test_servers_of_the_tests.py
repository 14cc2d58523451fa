"""What the tests' own servers and clients promise."""

from __future__ import annotations

import pytest

from tests.support.server import PROGRAMS, Program, Servers
from tests.support.streams import Refused, Transport

TRANSPORTS: tuple[Transport, ...] = ("sse", "websocket")


@pytest.mark.parametrize("program", PROGRAMS)
async def test_an_event_of_another_process_reaches_both_kinds_of_client_of_every_server(serve: Servers, program: Program) -> None:
    server = serve(program)
    async with server.sse("alice") as sse, server.websocket("alice") as websocket:
        assert server.emit("document.uploaded", {"document_id": "1"}, user_id=server.accounts["alice"].id)
        by_sse, by_websocket = await sse.event(), await websocket.event()
    assert by_sse == by_websocket
    assert by_sse["type"] == "document.uploaded"
    assert sse.cursor == websocket.cursor


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_that_is_refused_learns_why(serve_module: Servers, transport: Transport) -> None:
    server = serve_module()
    with pytest.raises(Refused) as refusal:
        async with server.stream(transport):
            pass
    assert refusal.value.status == {"sse": 401, "websocket": 4401}[transport]
