"""Every endpoint of the API's own description, asked with hostile values: refused in words, never with a 500."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_service import SECOND, DemoService, scored
from fastapi.testclient import TestClient

from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings

START = 1_772_366_400 * SECOND
VALUES = [
    *("", "-1", "0", "9" * 40, "1e400", "NaN", "\x00"),
    *("<script>", "' or 1=1 --", "2026-99-99", "../../etc/passwd", "🦆"),
]
BODIES: list[Any] = [
    None,
    [],
    {},
    "x",
    {"sql": "\x00"},
    {"name": "\x00", "password": "\x00" * 20},
    {"action": "comment", "alarms": [2**70]},
    {"action": "comment", "alarms": [-1]},
    {"action": "comment", "alarms": [1], "note": "\x00<img src=x onerror=alert(1)>"},
    {"action": "shelve", "alarms": [1], "seconds": 1e300},
    {"budget": "1e400 per sensor per day"},
    {"budget": "1 per sensor per day", "device": "\x00'\"]\n[http]", "write": False},
    {"name": "a", "kind": "mail", "url": "smtp://[::1", "to": ["a@b"]},
    {"name": "a", "kind": "webhook", "url": "http://127.0.0.1:99999999"},
    {"name": "../x", "kind": "mqtt"},
    {"role": "root"},
]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: START)
    alarm = AlarmRecord(1, 0, AlarmState.OPEN, START, None, "major", 6.0, 81.0, 54.0, "odd")
    service.step(scored([0], [START], [81.0]), series=[SeriesRecord(0, "pump", "flow")], alarms=[alarm])
    settings = HttpSettings()
    with AccountBook(tmp_path / "accounts.db") as accounts, Outbox(tmp_path / "notices.db") as outbox:
        service.notifier = Notifier(outbox, [], clock=lambda: START, publish=lambda *_: None)
        app = create_app(service, settings, Gate(settings, accounts))
        yield TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
    service.close()


def operations(client: TestClient) -> list[tuple[str, str, list[str]]]:
    """Method, path and the names of the query's parameters of each endpoint that ends."""
    found = []
    for path, methods in client.get("/api/v1/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            names = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
            if path != "/api/v1/events":
                found.append((method.upper(), path, names))
    assert len(found) > 25
    return found


def test_hostile_parameters_are_refused_in_words(client: TestClient) -> None:
    for method, path, names in operations(client):
        for value in VALUES:
            filled = path.replace("{device}", "x").replace("{name}", "x")
            for name in names:
                reply = client.request(method, filled, params={name: value})
                assert reply.status_code < 500, (method, path, name, value, reply.text)
                if reply.status_code >= 400:
                    assert reply.json()["error"]["message"], (method, path, name, value)


def test_hostile_bodies_are_refused_in_words(client: TestClient) -> None:
    for method, path, _ in operations(client):
        if method == "GET":
            continue
        for body in BODIES:
            reply = client.request(method, path.replace("{name}", "%00"), json=body)
            # A channel that does not answer is 502, and says which.
            assert reply.status_code < 500 or reply.status_code in (502, 503), (method, path, body, reply.text)
            if reply.status_code >= 400:
                assert reply.json()["error"]["message"], (method, path, body)
