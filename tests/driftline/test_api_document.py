"""The API against its own OpenAPI document: generated requests, valid and not, get only what it promises."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from demo_plant import fill_with_plant
from demo_service import DemoService
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.http.app import create_app, openapi_document
from driftline.http.http_settings import HttpSettings

HOST = {"Host": "127.0.0.1:8000"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    (path, method)
    for path, operations in json.loads(openapi_document())["paths"].items()
    for method in operations
    if not path.endswith("/events")  # it never ends
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    folder = tmp_path_factory.mktemp("api")
    service = DemoService(folder / "store.duckdb")
    fill_with_plant(service, devices=4, points=100)
    with AccountBook(folder / "accounts.db") as accounts, Outbox(folder / "notices.db") as outbox:
        service.notifier = Notifier(outbox, [], clock=time.time_ns, publish=lambda *_: None)
        app = create_app(service, HttpSettings(), Gate(HttpSettings(), accounts))
        yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=HOST)
    service.close()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_an_endpoint_answers_as_its_document_says(api: BaseSchema, path: str, method: str) -> None:
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api[path][method.upper()].as_strategy())
    def answers(case: Case[Any]) -> None:
        case.validate_response(case.call(headers=HOST), checks=CHECKS)

    answers()
