"""What people do about alarms over HTTP: who did what, what is refused, and what hostile input does not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_service import NEEDED, SECOND, THRESHOLD, DemoService, scored
from fastapi.testclient import TestClient

from alerts.actions import Acknowledge, DoNotLearn, Feedback, Shelve, UndoFeedback
from alerts.maintenance import MaintenanceSettings
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings

START = 1_772_366_400 * SECOND
NOW = START + 600 * SECOND
PUMP = SeriesRecord(0, "plant/pump-07", "temperature", "°C")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: NOW)
    alarms = [
        AlarmRecord(1, 0, AlarmState.OPEN, START, None, "major", 6.0, 81.0, 54.0, "odd"),
        AlarmRecord(
            2, 0, AlarmState.CLEARED, START - 90 * SECOND, START - 30 * SECOND, "minor", 5.0, 60.0, 54.0, "odd"
        ),
    ]
    service.step(scored([0], [START], [81.0]), series=[PUMP], alarms=alarms)
    yield service
    service.close()


@pytest.fixture
def client(service: DemoService, tmp_path: Path) -> Iterator[TestClient]:
    settings = HttpSettings()
    with AccountBook(tmp_path / "accounts.db") as accounts:
        yield TestClient(create_app(service, settings, Gate(settings, accounts)), base_url="http://127.0.0.1:8000")


def test_an_alarm_is_taken_on_by_who_is_signed_in(client: TestClient, service: DemoService) -> None:
    given = {"action": "acknowledge", "alarms": [1], "note": "on my way"}
    reply = client.post("/api/v1/alarms/actions", json=given).json()
    assert service.acted == [Acknowledge(by="local", at=NOW, alarm=1, note="on my way")]
    (alarm,) = reply["alarms"]
    assert (alarm["state"], alarm["acknowledged_by"], alarm["note"]) == ("acknowledged", "local", "on my way")
    entry = client.get("/api/v1/audit").json()["entries"][0]
    assert (entry["action"], entry["detail"]) == ("alarm: acknowledge", "alarm 1: on my way")


def test_shelving_lasts_from_now_and_many_are_shelved_at_once(client: TestClient, service: DemoService) -> None:
    given = {"action": "shelve", "alarms": [1, 2, 1], "seconds": 3600}
    assert client.post("/api/v1/alarms/actions", json=given).status_code == 200
    until = NOW + 3600 * SECOND
    assert service.acted == [Shelve(by="local", at=NOW, alarm=number, until=until) for number in (1, 2)]


@pytest.mark.parametrize(("alarm", "end"), [(1, NOW), (2, START - 30 * SECOND)])
def test_the_stretch_of_an_alarm_is_not_learned(client: TestClient, service: DemoService, alarm: int, end: int) -> None:
    client.post("/api/v1/alarms/actions", json={"action": "do_not_learn", "alarms": [alarm]})
    (action,) = service.acted
    assert isinstance(action, DoNotLearn)
    assert (action.device, action.metric, action.end) == ("plant/pump-07", "temperature", end)


def test_feedback_tells_what_it_would_have_changed_and_is_taken_back(client: TestClient, service: DemoService) -> None:
    service.step(scored([0] * NEEDED, [START + i * 60 * SECOND for i in range(1, NEEDED + 1)], [54.0] * NEEDED))
    given = {"action": "feedback", "alarms": [1], "verdict": "wrong", "note": "test run"}
    (effect,) = client.post("/api/v1/alarms/actions", json=given).json()["effects"]
    assert (effect["alarm"], effect["metric"], effect["threshold"]) == (1, "temperature", THRESHOLD)
    assert effect["sentence"] == "would not have alarmed in the last 30 days: there were 2 alarms"
    reply = client.post("/api/v1/alarms/actions", json={"action": "undo_feedback", "alarms": [1]})
    assert service.acted == [
        Feedback(by="local", at=NOW, alarm=1, note="test run", verdict="wrong"),
        UndoFeedback(by="local", at=NOW, alarm=1),
    ]
    assert reply.json()["effects"][0]["were"] == 2
    assert client.post("/api/v1/alarms/actions", json={"action": "acknowledge", "alarms": [1]}).json()["effects"] == []


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"action": "shelve", "alarms": [1]}, 400, "seconds: missing"),
        ({"action": "feedback", "alarms": [1]}, 400, "verdict: missing"),
        ({"action": "feedback", "alarms": [1], "verdict": "maybe"}, 400, "verdict"),
        ({"action": "acknowledge", "alarms": [99]}, 404, "there is no alarm 99"),
        ({"action": "acknowledge", "alarms": []}, 400, "alarms"),
        ({"action": "acknowledge", "alarms": [1], "by": "somebody else"}, 400, "by"),
        ({"action": "explode", "alarms": [1]}, 400, "action"),
        ({"action": "shelve", "alarms": [1], "seconds": 1e12}, 400, "seconds"),
        ({"action": "comment", "alarms": [1], "note": "x" * 2_001}, 400, "note"),
        ({"action": "acknowledge", "alarms": list(range(1, 1_002))}, 400, "alarms"),
    ],
)
def test_what_cannot_be_done_is_said_and_not_done(
    client: TestClient, service: DemoService, given: dict[str, object], status: int, said: str
) -> None:
    reply = client.post("/api/v1/alarms/actions", json=given)
    assert (reply.status_code, said in reply.json()["error"]["message"]) == (status, True), reply.text
    assert service.acted == []


def test_a_form_of_another_site_is_no_request(client: TestClient, service: DemoService) -> None:
    body = '{"action": "acknowledge", "alarms": [1]}'
    reply = client.post("/api/v1/alarms/actions", content=body, headers={"Content-Type": "text/plain"})
    assert reply.status_code in (400, 415)
    assert service.acted == []


def test_an_alarm_under_maintenance_says_so(client: TestClient, service: DemoService) -> None:
    window = MaintenanceSettings(name="new motor", devices=["plant/*"], start="2026-03-01T12:00Z")
    service.windows = [window]
    alarms = client.get("/api/v1/alarms").json()["alarms"]
    assert [(alarm["alarm"], alarm["maintenance"]) for alarm in alarms] == [(1, "new motor"), (2, "")]
