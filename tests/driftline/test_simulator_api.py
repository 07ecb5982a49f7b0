"""The simulator over HTTP, with a real simulator on a real broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_service import SECOND, DemoService, scored
from fastapi.testclient import TestClient
from firmware_sim.fleet_description import describe
from firmware_sim.publisher import BrokerAddress
from firmware_sim.world_run import WorldRun
from firmware_sim.world_settings import WorldSettings

from devices.fault_labels import FaultLabel, Severity, write_labels
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.access.identity import Role
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings
from driftline.runtime.simulator_desk import SimulatorDesk

START = 1_772_366_400 * SECOND
MINUTE = 60 * SECOND


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: START)
    yield service
    service.close()


@pytest.fixture
def client(service: DemoService, tmp_path: Path) -> Iterator[TestClient]:
    settings = HttpSettings()
    with AccountBook(tmp_path / "accounts.db") as accounts:
        yield TestClient(create_app(service, settings, Gate(settings, accounts)), base_url="http://127.0.0.1:8000")


@pytest.fixture
def hall(mosquitto: Any) -> Iterator[BrokerAddress]:
    """A machine hall without a fault of its own, that has answered once."""
    url = f"mqtt://{mosquitto.host}:{mosquitto.port}"
    run = WorldRun(
        WorldSettings(world="machine-hall", url=url, interval="1s", faults="none", learning_days=0), say=lambda _: None
    )
    thread = threading.Thread(target=run.run)
    thread.start()
    address = BrokerAddress.parse(url)
    try:
        while not describe(address):
            assert thread.is_alive()
        yield address
    finally:
        run.request_stop()
        thread.join(60)


@pytest.mark.service("mosquitto")
def test_a_fault_that_is_asked_for_begins_and_is_listed_with_its_device(
    hall: BrokerAddress, service: DemoService, client: TestClient, tmp_path: Path
) -> None:
    service.simulator = SimulatorDesk(hall, tmp_path / "labels.csv")
    reply = client.get("/api/v1/simulator").json()
    (fleet,) = reply["fleets"]
    assert (fleet["world"], fleet["count"], reply["faults"]) == ("machine-hall", 4, [])
    faults = {one["device"]: one["faults"] for one in fleet["devices"]}
    assert "temperature" in faults["motor-01"]["stuck"]
    assert faults["motor-01"]["silent death"] == ["*"]
    assert "switch stuck" not in faults["motor-01"]
    plant = {one["device"]: one["plant"] for one in fleet["devices"]}
    assert plant["motor-01"] == ["bearing wear", "coolant loss", "belt slip"]
    assert plant["hall-01"] == []
    assert len(reply["worlds"]) == 7
    wanted = {"device": "motor-01", "fault": "stuck", "metric": "temperature", "seconds": 60}
    answer = client.post("/api/v1/simulator/inject", json=wanted).json()["answer"]
    assert answer.startswith("motor-01 temperature: stuck until ")
    (label,) = client.get("/api/v1/simulator").json()["faults"]
    assert (label["device"], label["metric"], label["kind"]) == ("motor-01", "temperature", "stuck")
    assert (label["end"] - label["start"]) / SECOND == pytest.approx(60, abs=2)
    (entry,) = client.get("/api/v1/audit").json()["entries"]
    assert (entry["action"], entry["detail"]) == ("fault injected", "motor-01: stuck")


@pytest.mark.service("mosquitto")
def test_a_fault_that_cannot_be_is_refused_with_what_could(
    hall: BrokerAddress, service: DemoService, client: TestClient, tmp_path: Path
) -> None:
    service.simulator = SimulatorDesk(hall, tmp_path / "labels.csv")

    def refusal(**body: object) -> tuple[int, str]:
        reply = client.post("/api/v1/simulator/inject", json=body)
        return reply.status_code, reply.json()["error"]["message"]

    status, message = refusal(device="motor-01", fault="stcuk")
    assert (status, message.partition(" (")[0]) == (400, 'body: unknown fault "stcuk"; did you mean "stuck"?')
    status, message = refusal(device="motor-01", fault="switch stuck")
    assert (status, message) == (400, "body: motor-01: no metric '' that can have 'switch stuck'")
    status, message = refusal(device="hall-01", fault="belt slip")
    assert (status, message) == (400, "body: hall-01: 'belt slip' does not reach it")
    status, message = refusal(device="pump-99", fault="stuck")
    assert (status, message) == (404, "body.device: no simulator on the broker has a device 'pump-99'")


def test_only_who_may_operate_may_inject(service: DemoService, tmp_path: Path) -> None:
    settings = HttpSettings()
    with AccountBook(tmp_path / "people.db") as accounts:
        accounts.add_user("vera", Role.VIEWER, "a long enough password")
        client = TestClient(create_app(service, settings, Gate(settings, accounts)), base_url="http://127.0.0.1:8000")
        assert client.get("/api/v1/simulator").status_code == 401
        signed = client.post("/api/v1/sign-in", json={"name": "vera", "password": "a long enough password"}).json()
        headers = {"X-CSRF-Token": signed["csrf_token"]}
        wanted = {"device": "motor-01", "fault": "stuck"}
        refused = client.post("/api/v1/simulator/inject", json=wanted, headers=headers)
        assert (refused.status_code, "operator" in refused.json()["error"]["message"]) == (403, True)


class Nobody:
    """A broker on which no simulator runs."""

    def __init__(self, labels: list[FaultLabel]) -> None:
        self._labels = labels

    def fleets(self) -> list[Any]:
        return []

    def inject(self, wanted: object) -> None:
        del wanted

    def labels(self) -> list[FaultLabel]:
        return self._labels


def test_the_live_card_joins_the_truth_with_the_alarms_of_the_service(service: DemoService, client: TestClient) -> None:
    n = 600
    points = scored([0] * n, [START + i * MINUTE for i in range(n)], [20.0] * n)
    alarm = AlarmRecord(
        1, 0, AlarmState.CLEARED, START + 205 * MINUTE, START + 230 * MINUTE, "minor", 6.4, 20.0, 19.0, "stuck at 20",
        parts={"jump": 1.5, "stuck": 6.4},
    )  # fmt: skip
    service.step(points, series=[SeriesRecord(0, "plant/motor/motor-01", "temperature", "°C")], alarms=[alarm])
    faults = [
        FaultLabel("motor-01", "temperature", "stuck", START + 200 * MINUTE, START + 240 * MINUTE, Severity.MAJOR, "a"),
        FaultLabel("motor-01", "temperature", "spike", START + 400 * MINUTE, START + 402 * MINUTE, Severity.MAJOR, "b"),
    ]
    service.simulator = Nobody(faults)
    reply = client.get("/api/v1/scorecard", params={"recorded": "false"}).json()
    live = reply["live"]
    assert (live["overall"]["faults"], live["overall"]["found"]["value"]) == (2, 0.5)
    assert live["kinds"]["stuck"]["delay_readings"]["value"] == 5.0
    assert live["kinds"]["stuck"]["open_share"]["value"] == 0.625
    assert live["overall"]["precision"]["value"] == 1.0
    assert [one["kind"] for one in live["missed"]] == ["spike"]
    told = [(one["device"], one["kind"], one["found"], one["delay_seconds"]) for one in reply["faults"]]
    assert told == [
        ("plant/motor/motor-01", "spike", False, None),
        ("plant/motor/motor-01", "stuck", True, 300.0),
    ]
    assert [one["found_by"] for one in reply["faults"]] == ["", "stuck"]
    assert live["detectors"]["stuck"]["precision"]["value"] == 1.0
    assert reply["recorded"] is None


def test_without_truth_the_live_card_is_empty_and_the_record_is_shown(service: DemoService, client: TestClient) -> None:
    service.simulator = Nobody([])
    reply = client.get("/api/v1/scorecard").json()
    assert reply["live"] is None
    assert reply["recorded"]["seed_set"] == "reporting"
    assert reply["recorded"]["seeds"] == [101, 102, 103, 104]


@pytest.mark.service("mosquitto")
def test_the_truth_is_that_of_the_file_and_of_the_simulators_each_fault_once(
    hall: BrokerAddress, client: TestClient, service: DemoService, tmp_path: Path
) -> None:
    earlier = FaultLabel("motor-02", "current", "spike", START, START + MINUTE, Severity.MINOR, "before")
    write_labels(tmp_path / "labels.csv", [earlier])
    service.simulator = desk = SimulatorDesk(hall, tmp_path / "labels.csv")
    client.post("/api/v1/simulator/inject", json={"device": "motor-01", "fault": "stuck", "seconds": 60})
    found = desk.labels()
    assert [(label.device, label.kind) for label in found] == [("motor-02", "spike"), ("motor-01", "stuck")]
    write_labels(tmp_path / "labels.csv", found)
    assert desk.labels() == found
