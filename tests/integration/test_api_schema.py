"""The API does what its OpenAPI description says, whatever Schemathesis makes up."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.support.server import Server, Servers

EXAMPLES = 20
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


@pytest.fixture(scope="module")
def server(serve_module: Servers) -> Server:
    """A real server, with an event to find."""
    server = serve_module()
    assert server.emit("document.uploaded", {"document_id": "1"})
    return server


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_every_operation_keeps_to_its_description(server: Server, mode: GenerationMode) -> None:
    headers = {"Authorization": f"Token {server.accounts['admin'].token}"}
    schema = schemathesis.openapi.from_url(f"{server.url}/api/schema/")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 7

    for operation in operations:
        # The same examples each time: what is wrong for one choice of a field and right for the other is taken for wrong, if rarely.
        @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        if mode is GenerationMode.POSITIVE or can_be_wrong(operation):
            check()


def can_be_wrong(operation: Any) -> bool:
    """Whether it takes anything that could be malformed."""
    return bool(operation.body or operation.query)


@pytest.mark.django_db
def test_the_description_has_every_address_of_the_api_with_examples() -> None:
    description = Client(headers={"accept": "application/vnd.oai.openapi+json"}).get("/api/schema/").json()

    assert {(path, method) for path, operations in description["paths"].items() for method in operations} == {
        ("/api/events/", "get"),
        ("/api/events/", "post"),
        ("/api/events/{event_id}/", "get"),
        ("/api/events/stats/", "get"),
        ("/api/audit/", "get"),
        ("/api/audit/{entry_id}/", "get"),
        ("/api/audit/export/", "get"),
    }
    for operations in description["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
            success = operation["responses"].get("200") or operation["responses"]["201"]
            content = success["content"].get("application/json")
            assert content is None or content.get("examples"), operation["operationId"]
    body = description["paths"]["/api/events/"]["post"]["requestBody"]["content"]["application/json"]
    assert len(body["examples"]) == 2


@pytest.mark.once
@pytest.mark.django_db
def test_the_docs_page_shows_the_description_without_other_hosts() -> None:
    page = Client().get("/api/docs/")

    assert page.status_code == 200
    text = page.content.decode()
    assert "/api/schema/" in text
    assert "https://cdn" not in text
