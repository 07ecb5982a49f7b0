"""What people do with devices over HTTP: who did what, who may, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_service import SECOND, DemoService, scored
from fastapi.testclient import TestClient

from devices.device_actions import (
    DeleteDevice,
    ExcludePoints,
    LabelDevice,
    MergeDevice,
    MuteDevice,
    RenameDevice,
    RetireDevice,
    UnmuteDevice,
)
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.access.accounts import AccountBook
from driftline.access.identity import Role

NOW = 1_772_366_400 * SECOND
PUMP, FAN = "plant/pump-07", "plant/fan-01"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: NOW)
    series = [SeriesRecord(0, PUMP, "temperature", "°C"), SeriesRecord(1, FAN, "speed", "rpm")]
    service.step(scored([0, 1], [NOW, NOW], [54.0, 900.0]), series=series)
    yield service
    service.close()


def act(client: TestClient, token: str = "", **given: object) -> tuple[int, str]:
    """The status of the answer, and what is said in it."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    reply = client.post("/api/v1/devices/actions", json=given, headers=headers)
    return reply.status_code, reply.json().get("error", {}).get("message", "")


def test_a_device_is_renamed_and_labelled_and_shown_so(client: TestClient, service: DemoService) -> None:
    taken = f'name: "{FAN}" is another device; choose a name that no device sends under'
    assert act(client, action="rename", devices=[PUMP], name=FAN) == (409, taken)
    assert act(client, action="rename", devices=[PUMP], name="Feed pump")[0] == 200
    assert act(client, action="label", devices=[PUMP], labels={"site": "north", "owner": None}, note="moved")[0] == 200
    assert service.acted == [
        RenameDevice(by="local", at=NOW, device=PUMP, name="Feed pump"),
        LabelDevice(by="local", at=NOW, device=PUMP, labels={"site": "north", "owner": None}, note="moved"),
    ]
    shown = client.get(f"/api/v1/devices/{PUMP}").json()
    assert (shown["device"], shown["name"], shown["labels"]) == (PUMP, "Feed pump", {"site": "north"})
    actions = [entry["action"] for entry in client.get("/api/v1/audit").json()["entries"]]
    assert actions == ["device: label", "device: rename"]


def test_a_muted_device_and_its_alarms_are_shown_as_muted(client: TestClient, service: DemoService) -> None:
    assert act(client, action="mute", devices=[PUMP])[0] == 200
    assert act(client, action="unmute", devices=[FAN])[0] == 200
    assert service.acted == [MuteDevice(by="local", at=NOW, device=PUMP), UnmuteDevice(by="local", at=NOW, device=FAN)]
    alarms = [AlarmRecord(n + 1, n, AlarmState.OPEN, NOW, None, "major", 6.0, 1.0, 0.0, "why", {}) for n in (0, 1)]
    service.step(alarms=alarms)
    listed = client.get("/api/v1/alarms").json()["alarms"]
    assert {each["device"]: each["is_muted"] for each in listed} == {PUMP: True, FAN: False}


def test_what_is_accepted_and_not_done_yet_is_no_error(client: TestClient, service: DemoService) -> None:
    service.behind = True
    reply = client.post("/api/v1/devices/actions", json={"action": "retire", "devices": [PUMP]})
    assert (reply.status_code, [each["waits"] for each in reply.json()["done"]]) == (202, [True])


def test_what_a_merged_device_leaves_elsewhere_is_said(client: TestClient, service: DemoService) -> None:
    service.kept = 'the external database "influx": what they hold stays'
    for given, said in (({"action": "delete"}, ""), ({"action": "merge", "into": FAN}, service.kept)):
        reply = client.post("/api/v1/devices/actions", json={**given, "devices": [PUMP]})
        assert reply.json()["kept"] == said


def test_many_devices_are_retired_at_once_and_each_is_one_action(client: TestClient, service: DemoService) -> None:
    assert act(client, action="retire", devices=[PUMP, FAN, PUMP])[0] == 200
    assert service.acted == [RetireDevice(by="local", at=NOW, device=device) for device in (PUMP, FAN)]


def test_an_operator_retires_and_only_an_admin_merges_and_deletes(
    client: TestClient, service: DemoService, accounts: AccountBook
) -> None:
    accounts.add_user("ada", Role.ADMIN, "correct horse battery")
    tokens = {role: accounts.add_token(role.value, role) for role in Role}
    assert act(client, tokens[Role.VIEWER], action="retire", devices=[PUMP])[0] == 403
    assert act(client, tokens[Role.OPERATOR], action="retire", devices=[PUMP])[0] == 200
    for given in ({"action": "delete"}, {"action": "merge", "into": FAN}):
        status, said = act(client, tokens[Role.OPERATOR], devices=[PUMP], **given)
        assert (status, f'{given["action"]} needs the role "admin"' in said) == (403, True)
        assert act(client, tokens[Role.ADMIN], devices=[PUMP], **given)[0] == 200
    assert [type(each) for each in service.acted] == [RetireDevice, DeleteDevice, MergeDevice]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"action": "rename", "devices": [PUMP]}, "name: missing"),
        ({"action": "rename", "devices": [PUMP, FAN], "name": "x"}, "expected one"),
        ({"action": "rename", "devices": [PUMP], "name": "x" * 201}, "name"),
        ({"action": "label", "devices": [PUMP]}, "labels"),
        ({"action": "label", "devices": [PUMP], "labels": {"no blanks": "x"}}, "labels"),
        ({"action": "merge", "devices": [PUMP]}, "into: missing"),
        ({"action": "merge", "devices": [PUMP], "into": PUMP}, "expected another device"),
        ({"action": "retire", "devices": []}, "devices"),
        ({"action": "explode", "devices": [PUMP]}, "action"),
        ({"action": "retire", "devices": [PUMP], "by": "somebody else"}, "by"),
    ],
)
def test_what_cannot_be_done_is_said_and_not_done(
    client: TestClient, service: DemoService, given: dict[str, Any], said: str
) -> None:
    status, message = act(client, **given)
    assert (status, said in message) == (400, True), message
    assert service.acted == []


def test_bad_values_are_excluded_by_who_is_signed_in(client: TestClient, service: DemoService) -> None:
    stretch = {"device": PUMP, "metric": "temperature", "from": NOW, "to": NOW + SECOND}
    reply = client.post("/api/v1/points/exclusions", json={"action": "exclude", "note": "cable", **stretch})
    assert reply.status_code == 200, reply.text
    excluded = {"device": PUMP, "metric": "temperature", "start": NOW, "end": NOW + SECOND, "note": "cable"}
    assert service.acted == [ExcludePoints(by="local", at=NOW, **excluded)]
    assert client.get("/api/v1/audit").json()["entries"][0]["action"] == "points: exclude"
    (shown,) = client.get("/api/v1/points", params={"device": PUMP, "metric": "temperature"}).json()["series"]
    [out] = shown["excluded"]
    assert (out["start"], out["end"]) == (NOW, NOW + SECOND)
    backwards = client.post("/api/v1/points/exclusions", json={"action": "include", **stretch, "to": NOW - 1})
    assert (backwards.status_code, "expected a time after start" in backwards.text) == (400, True)


def test_the_plant_is_a_tree_by_names_or_by_labels(client: TestClient, service: DemoService) -> None:
    service.labels = {PUMP: {"site": "north"}}
    service.silent = {FAN}
    service.step(alarms=[AlarmRecord(1, 0, AlarmState.OPEN, NOW, None, "major", 6.0, 1.0, 0.0, "why", {})])
    whole = {"name": "", "devices": 2, "silent": 1, "open_alarms": 1, "members": []}
    plant = {"name": "plant", "devices": 2, "silent": 1, "open_alarms": 1, "parts": [], "members": [FAN, PUMP]}
    assert client.get("/api/v1/asset-tree").json() == whole | {"parts": [plant]}
    by_site = client.get("/api/v1/asset-tree", params={"by": "site"}).json()
    assert by_site == whole | {
        "parts": [
            {"name": "no site", "devices": 1, "silent": 1, "open_alarms": 0, "parts": [], "members": [FAN]},
            {"name": "north", "devices": 1, "silent": 0, "open_alarms": 1, "parts": [], "members": [PUMP]},
        ]
    }
