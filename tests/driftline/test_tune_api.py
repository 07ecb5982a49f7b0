from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_service import SECOND, DemoService, scored
from fastapi.testclient import TestClient

from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, DeviceRecord, SeriesRecord
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.config import load_config
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings
from storage.store import StepOutput

MINUTE = 60 * SECOND
START = 1_772_366_400 * SECOND
PUMP = SeriesRecord(0, "plant/pump-07", "temperature", "°C")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: START + 2_000 * MINUTE)
    n = 2_000
    points = scored([0] * n, [START + i * MINUTE for i in range(n)], [20.0] * n)
    score = np.full(n, 0.5)
    score[500:505] = 4.6
    score[1_500:1_505] = 6.4
    points.score[:] = score
    alarms = [
        AlarmRecord(i + 1, 0, AlarmState.CLEARED, START + row * MINUTE, START + (row + 10) * MINUTE, "minor", 4.6, 20.0,
                    19.0, "odd")
        for i, row in enumerate((500, 1_500))
    ]  # fmt: skip
    service.step(points, series=[PUMP], alarms=alarms)
    yield service
    service.close()


@pytest.fixture
def client(service: DemoService, tmp_path: Path) -> Iterator[TestClient]:
    settings = HttpSettings()
    with AccountBook(tmp_path / "accounts.db") as accounts:
        yield TestClient(create_app(service, settings, Gate(settings, accounts)), base_url="http://127.0.0.1:8000")


def test_a_calmer_budget_shows_which_alarms_would_not_have_been(client: TestClient) -> None:
    asked = {"device": "plant/pump-07", "budget": "1 per sensor per year"}
    reply = client.get("/api/v1/tune", params=asked).json()
    (series,) = reply["series"]
    assert reply["budget_now"] == "1 per sensor per week"
    assert [(was["opened"] - START) // MINUTE for was in series["were"]] == [500, 1_500]
    assert [(would["opened"] - START) // MINUTE for would in series["would"]] == [1_500]
    assert series["would"][0]["peak"] == pytest.approx(6.4)
    assert series["threshold"] == pytest.approx(5.72, abs=0.01)


def test_a_budget_that_is_none_and_a_device_that_is_not_there_are_said(client: TestClient) -> None:
    wrong = client.get("/api/v1/tune", params={"device": "plant/pump-07", "budget": "rarely"})
    assert (wrong.status_code, 'got "rarely"' in wrong.text.replace("\\", "")) == (400, True)
    assert client.get("/api/v1/tune", params={"device": "pump", "budget": "1 per sensor per day"}).status_code == 404


def test_a_change_is_shown_before_it_is_written(client: TestClient, service: DemoService) -> None:
    change = {"budget": "1 per sensor per year", "device": "plant/pump-07"}
    shown = client.post("/api/v1/tune", json=change).json()
    assert '+device = "plant/pump-07"' in shown["difference"]
    assert (shown["written"], service.config_path.exists()) == (False, False)
    written = client.post("/api/v1/tune", json={**change, "write": True}).json()
    assert (written["written"], written["file"]) == (True, str(service.config_path))
    assert load_config(service.config_path).alarm.budget_of("plant/pump-07", "x") == "1 per sensor per year"
    assert client.post("/api/v1/tune", json={**change, "budget": "never"}).status_code == 400
    audit = client.get("/api/v1/audit").json()["entries"]
    assert [(entry["who"], entry["detail"]) for entry in audit] == [("local", "plant/pump-07: 1 per sensor per year")]


def finished(client: TestClient, given: dict[str, object]) -> dict[str, Any]:
    """The result of a look at other settings, waited for."""
    reply = client.post("/api/v1/tune/previews", json=given).json()
    while not (reply["result"] or reply["error"]):
        reply = client.get(f"/api/v1/tune/previews/{reply['work']}").json()
    assert (reply["error"], reply["done"]) == ("", reply["rows"])
    result: dict[str, Any] = reply["result"]
    return result


def test_a_budget_is_judged_at_once_and_other_detectors_score_the_readings_again(client: TestClient) -> None:
    given = {"device": "plant/pump-07", "budget": "1 per sensor per year"}
    reply = client.post("/api/v1/tune/previews", json=given).json()
    assert (reply["work"], reply["result"]["rescored"], reply["result"]["verdict"]) == (0, False, "1 alarm")
    result = finished(client, {"device": "plant/pump-07", "detector": "default"})
    (series,) = result["series"]
    assert (result["rescored"], result["verdict"], series["would"]) == (True, "0 alarms", [])
    assert [was["kept"] for was in series["were"]] == [False, False]


def test_stretches_that_people_mark_are_what_settings_are_compared_against(client: TestClient) -> None:
    for first, last, mark in ((495, 510, "fault"), (1_495, 1_510, "normal"), (100, 300, "fault"), (100, 300, "none")):
        times = {"start": START + first * MINUTE, "end": START + last * MINUTE}
        given = {"device": "plant/pump-07", "metric": "temperature", "mark": mark, **times}
        reply = client.post("/api/v1/tune/marks", json=given)
        assert reply.status_code == 200, reply.text
    assert [each["mark"] for each in reply.json()["marked"]] == ["fault", "normal"]
    asked = {"device": "plant/pump-07", "budget": "1 per sensor per year"}
    verdict = client.get("/api/v1/tune", params=asked).json()["verdict"]
    assert verdict == "1 alarm; 0 of 1 marked real among them; 1 of 1 marked normal would alarm"
    wrong = {"device": "plant/pump-07", "metric": "flow", "mark": "fault", "start": 1, "end": 2}
    assert client.post("/api/v1/tune/marks", json=wrong).status_code == 404
    backwards = {**wrong, "metric": "temperature", "end": 0}
    assert "expected a time after start" in client.post("/api/v1/tune/marks", json=backwards).text


def test_facts_of_a_series_are_written_for_it_alone(client: TestClient, service: DemoService) -> None:
    change = {"device": "plant/pump-07", "metric": "temperature", "direction": "above", "ignored_hours": [[22, 6]]}
    assert client.post("/api/v1/tune", json={**change, "write": True}).json()["written"]
    (entry,) = load_config(service.config_path).series
    assert (entry.device, entry.metric, entry.direction) == ("plant/pump-07", "temperature", "above")
    assert entry.ignored_hours == [(22.0, 6.0)]
    assert client.post("/api/v1/tune", json={"direction": "above"}).status_code == 400
    assert client.post("/api/v1/tune", json={"device": "plant/pump-07", "detector": "best"}).status_code == 400
    assert client.post("/api/v1/tune", json={"device": "plant/pump-07"}).status_code == 400


def test_points_are_taken_away_as_csv(client: TestClient) -> None:
    asked = {"series": "0", "from": "2026-03-01T12:00:00Z", "to": "2026-03-01T12:02:00Z"}
    reply = client.get("/api/v1/points.csv", params=asked)
    assert reply.headers["content-disposition"] == 'attachment; filename="plant_pump-07_temperature.csv"'
    assert reply.text.splitlines() == [
        "time,value,score,expected,lower,upper,anomaly",
        "2026-03-01T12:00:00.000000000Z,20.0,0.5,20.25,19.0,21.0,0",
        "2026-03-01T12:01:00.000000000Z,20.0,0.5,20.25,19.0,21.0,0",
    ]


def test_figures_over_http_name_the_series(client: TestClient) -> None:
    reply = client.get("/api/v1/alarms/figures", params={"days": 2}).json()
    assert (reply["alarms"], reply["verdict"]) == (2, "acceptable")
    assert reply["top"] == [{"series": 0, "device": "plant/pump-07", "metric": "temperature", "alarms": 2}]


def test_alarms_name_their_incident(client: TestClient) -> None:
    alarms = client.get("/api/v1/alarms").json()["alarms"]
    assert [(alarm["alarm"], alarm["incident"]) for alarm in alarms] == [(2, 2), (1, 1)]


def test_incidents_follow_labels_the_size_of_a_site_and_what_feeds_what(
    service: DemoService, client: TestClient
) -> None:
    names = [f"hall/dev-{n}" for n in range(18)]
    service.step(series=[SeriesRecord(n + 1, name, "flow") for n, name in enumerate(names)])
    line = {"group": "line 1"}
    known = [
        DeviceRecord(names[0], labels=line),
        DeviceRecord(names[1], labels={**line, "fed_by": "meter"}),
        DeviceRecord("meter", labels={"fed_by": names[0]}),
    ]
    store = service.store
    nothing = ScoredBatch.unscored(Batch.empty(), late=False)
    store.commit(StepOutput(store.position, store.position + 1, nothing, registered=known))
    first = START + 1_900 * MINUTE
    opened = [(10, 2, first), (11, 1, first + 10 * MINUTE), (12, 6, first + 20 * MINUTE)]
    store.commit(
        StepOutput(
            store.position,
            store.position + 1,
            nothing,
            alarms=[AlarmRecord(n, s, AlarmState.OPEN, at, None, "minor", 4.6, 2.0, 1.0, "odd") for n, s, at in opened],
        )
    )
    alarms = client.get("/api/v1/alarms", params={"state": "open"}).json()["alarms"]
    assert {alarm["alarm"]: alarm["incident"] for alarm in alarms} == {10: 11, 11: 11, 12: 12}
