"""What people do with devices, as the engine takes it from the journal and the store keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alerts.actions import Action, encode
from alerts.alarm_settings import AlarmSettings
from devices.device_actions import (
    DeleteDevice,
    ExcludePoints,
    IncludePoints,
    LabelDevice,
    MergeDevice,
    MuteDevice,
    RenameDevice,
    RestoreDevice,
    RetireDevice,
    UnmuteDevice,
)
from devices.messages import MessageChunk
from devices.records import AlarmState
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.label_settings import LabelSettings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry, StepOutput

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
RULES = [
    LabelSettings(name="site", filter="plant/#", value="{topic[1]}"),
    LabelSettings(name="owner", value="{device}", table={"plant/north/*": "Ada"}),
]


class Plant:
    """An engine over a journal that is kept, and a store that takes what it gives."""

    def __init__(self, path: Path, *, window: str = "0s") -> None:
        self.window = window
        self.store = EmbeddedStore(path).open()
        self.engine = self.fresh()
        self.journal: list[JournalEntry] = []
        self.second = 0
        self.offset = 0
        self.ahead: Callable[[StepOutput], object] | None = None

    def fresh(self) -> Engine:
        return Engine(
            [RouteSettings(filter="#", reorder_window=self.window)],
            {"default": ComponentSettings(type="threshold", upper=50.0)},
            AlarmSettings(threshold=5.0, clear_after="2s", clear_readings=2),
            LimitSettings(),
            self.store.all_series(),
            device_labels=RULES,
            known_devices=self.store.devices(),
        )

    def send(self, topic: str, *payloads: bytes | float) -> StepOutput:
        rows = []
        for payload in payloads:
            body = payload if isinstance(payload, bytes) else repr(payload).encode()
            rows.append((topic.encode(), body, START + self.second * SECOND, 0))
            self.second += 1
        return self._journaled(MessageChunk.of(rows))

    def act(self, *actions: Action) -> list[str]:
        """What came of each: why it was refused, else empty."""
        chunk = MessageChunk.of_actions(encode(actions), ticked_at=START + self.second * SECOND)
        return [record.refused for record in self._journaled(chunk).actions]

    def restart(self, saved: tuple[int, object, str] | None = None) -> None:
        """From a snapshot, the newest if none is given, step on through the journal to its end."""
        position, arrays, rest = saved or self.snapshot()
        self.engine = self.fresh()
        self.engine.load(position, arrays, json.loads(rest))  # type: ignore[arg-type]
        for entry in self.journal[position:]:
            self.engine.step(entry)

    def snapshot(self) -> tuple[int, object, str]:
        arrays, rest = self.engine.state()
        return self.engine.position, arrays, json.dumps(rest)

    def stored(self) -> dict[tuple[str, str], list[float]]:
        return {(s.device, s.metric): self.store.points(s.series).value.tolist() for s in self.store.series()}

    def _journaled(self, chunk: MessageChunk) -> StepOutput:
        entry = JournalEntry(self.engine.position, self.offset, chunk)
        self.offset += len(chunk)
        self.journal.append(entry)
        output = self.engine.step(entry)
        self.store.commit(output, self.ahead)
        return output


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path / "store.duckdb")
    yield made
    made.store.close()


def rename(device: str, name: str) -> Action:
    return RenameDevice(by="maria", at=START, device=device, name=name)


def merge(device: str, into: str) -> Action:
    return MergeDevice(by="maria", at=START, device=device, into=into)


def delete(device: str) -> Action:
    return DeleteDevice(by="maria", at=START, device=device)


def retire(device: str) -> Action:
    return RetireDevice(by="maria", at=START, device=device)


def devices_of(plant: Plant) -> dict[str, tuple[str, dict[str, str]]]:
    return {record.device: (record.name, dict(record.labels)) for record in plant.store.devices()}


def test_a_device_has_labels_by_rule_when_it_first_appears(plant: Plant) -> None:
    plant.send("plant/north/pump/t", 20.0)
    plant.send("office/lamp/t", 20.0)
    assert devices_of(plant) == {
        "plant/north/pump": ("", {"site": "north", "owner": "Ada"}),
        "office/lamp": ("", {}),
    }
    assert [record.first_seen for record in plant.store.devices()] == [START + SECOND, START]


def test_what_people_say_of_a_device_outlives_a_restart(plant: Plant) -> None:
    plant.send("plant/north/pump/t", 20.0)
    labels = LabelDevice(by="maria", at=START, device="plant/north/pump", labels={"owner": None, "line": "2"})
    assert plant.act(rename("plant/north/pump", "Feed pump"), labels) == ["", ""]
    plant.restart()
    plant.send("plant/north/pump/t", 21.0)
    assert devices_of(plant)["plant/north/pump"] == ("Feed pump", {"site": "north", "line": "2"})
    assert plant.engine.book.get("plant/north/pump").name == "Feed pump"
    rows = plant.store.query("select name, labels from devices", 10).rows
    assert rows == [("Feed pump", '{"site":"north","line":"2"}')]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (rename("pmup", "x"), 'device "pmup": there is no such device; did you mean "pump"?'),
        (merge("pump", "nobody"), 'device "nobody": there is no such device'),
        (delete("nobody"), 'device "nobody": there is no such device'),
    ],
)
def test_a_device_that_is_not_there_is_refused_by_name(plant: Plant, action: Action, said: str) -> None:
    plant.send("pump/t", 20.0)
    assert plant.act(action) == [said]
    assert plant.stored() == {("pump", "t"): [20.0]}


def test_a_replaced_sensor_keeps_the_history_of_the_one_before(plant: Plant) -> None:
    plant.send("old/t", 20.0, 21.0)
    plant.send("new/t", 22.0)
    plant.send("new/humidity", 40.0)
    assert plant.act(merge("new", "old")) == [""]
    assert plant.stored() == {("old", "t"): [20.0, 21.0, 22.0], ("old", "humidity"): [40.0]}
    plant.send("new/t", 23.0)
    plant.restart()
    plant.send("new/t", 24.0)
    assert plant.stored()[("old", "t")] == [20.0, 21.0, 22.0, 23.0, 24.0]
    assert not plant.engine.registry.knows_device("new")
    assert plant.act(rename("new", "x")) == ['device "new": it was merged into "old", which has its readings']
    assert plant.act(merge("old", "new")) == ['device "old": "new" was merged into it']


def test_a_merge_of_two_units_carries_the_values_over(plant: Plant) -> None:
    plant.send("old", b'{"temperature": {"value": 20.0, "unit": "\xc2\xb0C"}}')
    plant.send("new", b'{"temperature": {"value": 212.0, "unit": "\xc2\xb0F"}}')
    plant.act(merge("new", "old"))
    plant.send("new", b'{"temperature": {"value": 32.0, "unit": "\xc2\xb0F"}}')
    [(key, values)] = plant.stored().items()
    assert key == ("old", "temperature")
    assert values == pytest.approx([20.0, 100.0, 0.0])


def test_a_deleted_device_goes_with_its_data_and_comes_back_as_a_new_one(plant: Plant) -> None:
    plant.send("pump/t", 20.0, 60.0)
    plant.send("other/t", 1.0)
    plant.send("pump/mode", b"auto", b"off")
    assert len(plant.store.alarms()) == 1
    assert plant.act(delete("pump")) == [""]
    assert plant.stored() == {("other", "t"): [1.0]}
    assert plant.store.alarms() == []
    assert plant.store.query("select * from states", 10).rows == []
    assert plant.store.query("select count(*) from devices", 10).rows == [(1,)]
    output = plant.send("pump/t", 30.0)
    assert [record.series for record in output.series] == [3]
    assert plant.stored() == {("other", "t"): [1.0], ("pump", "t"): [30.0]}


def test_a_restart_from_before_a_deletion_gives_the_same_engine_and_numbers(plant: Plant) -> None:
    plant.send("pump/t", 20.0)
    plant.send("old/t", 5.0)
    saved = plant.snapshot()
    plant.send("pump/t", 21.0)
    plant.act(delete("pump"), merge("old", "old2"))
    plant.send("pump/t", 30.0)
    plant.send("pump/h", 40.0)
    plant.act(delete("pump"))
    plant.send("pump/t", 50.0)
    undisturbed = plant.snapshot()
    plant.restart(saved)
    assert json.loads(plant.snapshot()[2]) == json.loads(undisturbed[2])
    plant.send("pump/t", 51.0)
    plant.send("third/t", 1.0)
    assert plant.stored() == {("old", "t"): [5.0], ("pump", "t"): [50.0, 51.0], ("third", "t"): [1.0]}


def test_a_journal_replayed_into_an_empty_store_gives_the_same_store(plant: Plant, tmp_path: Path) -> None:
    plant.send("old/t", 20.0)
    plant.send("new/t", 22.0)
    plant.act(merge("new", "old"))
    plant.send("pump/t", 1.0)
    plant.act(delete("pump"))
    plant.send("pump/t", 2.0)
    with EmbeddedStore(tmp_path / "again.duckdb") as again:
        fresh = Engine(
            [RouteSettings(filter="#")],
            {"default": ComponentSettings(type="threshold", upper=50.0)},
            AlarmSettings(threshold=5.0, clear_after="2s", clear_readings=2),
            LimitSettings(),
            device_labels=RULES,
        )
        again.commit(StepOutput.merged([fresh.step(entry) for entry in plant.journal]))
        assert again.all_series() == plant.store.all_series()
        assert again.devices() == plant.store.devices()
        for table in ("points", "devices", "alarms", "actions"):
            again_rows, rows = (store.query(f"from {table}", 100).rows for store in (again, plant.store))
            assert sorted(again_rows, key=repr) == sorted(rows, key=repr), table


def test_a_retired_device_raises_no_alarm_until_it_is_restored(plant: Plant) -> None:
    plant.send("pump/t", 20.0, 60.0)
    plant.act(retire("pump"))
    (alarm,) = plant.store.alarms()
    assert (alarm.state, alarm.cleared_reason) == (AlarmState.CLEARED, "retired by maria")
    plant.restart()
    plant.send("pump/t", 20.0, 20.0, 20.0, 70.0, 71.0)
    assert len(plant.store.alarms()) == 1
    plant.act(RestoreDevice(by="maria", at=START, device="pump"))
    plant.send("pump/t", 20.0, 20.0, 20.0, 20.0, 72.0)
    assert len(plant.store.alarms()) == 2
    assert plant.stored()[("pump", "t")][-1] == 72.0


def test_a_muted_device_is_muted_until_somebody_unmutes_it_and_its_alarms_are_kept(plant: Plant) -> None:
    plant.send("pump/t", 20.0)
    assert plant.act(MuteDevice(by="maria", at=START + 5, device="pump")) == [""]
    saved = plant.snapshot()
    plant.send("pump/t", 60.0)
    assert [alarm.state for alarm in plant.store.alarms()] == [AlarmState.OPEN]
    plant.restart(saved)
    assert plant.engine.book.muted == {"pump"}
    assert [record.muted_at for record in plant.store.devices()] == [START + 5]
    assert plant.store.query("select epoch_ns(muted_at) from devices", 10).rows == [(START + 5,)]
    assert plant.act(UnmuteDevice(by="ada", at=START + 6, device="pump")) == [""]
    assert (plant.engine.book.muted, plant.store.devices()[0].muted_at) == (frozenset(), None)
    assert [(a.kind, a.by, a.text) for a in plant.store.actions()] == [
        ("unmute", "ada", "pump"),
        ("mute", "maria", "pump"),
    ]


def exclude(start: int, end: int, metric: str = "t") -> Action:
    return ExcludePoints(
        by="maria", at=START, device="pump", metric=metric, start=START + start * SECOND, end=START + end * SECOND
    )


def test_bad_values_are_taken_out_and_put_back(plant: Plant) -> None:
    plant.send("pump/t", 20.0, 85.0, 85.0, 21.0)
    plant.store.compact(at_least=1)
    assert plant.act(exclude(1, 3)) == [""]
    assert plant.stored() == {("pump", "t"): [20.0, 21.0]}
    assert plant.store.query("select max(value), count(*) from points", 10).rows == [(21.0, 2)]
    assert plant.store.query("select value from excluded", 10).rows == [(85.0,), (85.0,)]
    assert [points.value.tolist() for _, points in plant.store.history(10)] == [[20.0, 21.0]]
    back = IncludePoints(by="ada", at=START, device="pump", metric="t", start=START + SECOND, end=START + 2 * SECOND)
    assert plant.act(back) == [""]
    assert plant.stored() == {("pump", "t"): [20.0, 85.0, 21.0]}
    assert plant.store.exclusion_counts("pump", "t", START, START + 9 * SECOND) == (1, 3)
    kinds = [(action.kind, action.by) for action in plant.store.actions()]
    assert kinds == [("include", "ada"), ("exclude", "maria")]


def test_readings_that_come_later_for_a_stretch_that_is_left_out_are_left_out_too(plant: Plant) -> None:
    plant.send("pump/t", 20.0, 85.0)
    assert plant.act(exclude(1, 4)) == [""]
    saved = plant.snapshot()
    plant.send("pump/t", 85.0, 86.0, 21.0)
    assert plant.stored() == {("pump", "t"): [20.0, 21.0]}
    assert [alarm.state for alarm in plant.store.alarms() if alarm.opened > START + SECOND] == []
    assert plant.store.exclusions(0, None, None) == [(START + SECOND, START + 4 * SECOND, 3)]
    assert plant.store.latest().value.tolist() == [21.0]
    counts = plant.store.counts()
    assert (counts["received"], counts["stored"], counts.get("late", 0)) == (5, 5, 0)
    before = plant.snapshot()
    plant.restart(saved)
    assert plant.snapshot()[2] == before[2]
    back = IncludePoints(by="ada", at=START, device="pump", metric="t", start=START + SECOND, end=START + 3 * SECOND)
    plant.act(back)
    plant.send("pump/t", 22.0)
    assert plant.stored() == {("pump", "t"): [20.0, 85.0, 85.0, 21.0, 22.0]}
    assert plant.store.exclusions(0, None, None) == [(START + 3 * SECOND, START + 4 * SECOND, 1)]
    assert plant.store.exclusions(0, None, START + 3 * SECOND) == []


def test_a_reading_that_waits_to_be_ordered_is_left_out_and_no_external_database_gets_it(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "store.duckdb", window="2s")
    plant.send("pump/t", 85.0)
    plant.act(exclude(0, 1))
    ahead: list[list[float]] = []
    plant.ahead = lambda output: ahead.append(output.points.value.tolist())
    plant.send("pump/t", 20.0, 21.0, 22.0, 23.0)
    assert plant.stored() == {("pump", "t"): [20.0, 21.0]}
    assert plant.store.query("select value from excluded", 10).rows == [(85.0,)]
    assert ahead == [[20.0, 21.0]]
    plant.store.close()


def test_what_is_left_out_stays_so_where_its_device_becomes_part_of_another(plant: Plant) -> None:
    plant.send("pump/t", 20.0, 85.0)
    plant.act(exclude(1, 9))
    plant.send("fan/t", 30.0)
    plant.act(MergeDevice(by="maria", at=START, device="pump", into="fan"))
    plant.send("pump/t", 31.0)
    plant.second = 9
    plant.send("pump/t", 32.0)
    assert plant.stored() == {("fan", "t"): [20.0, 30.0, 32.0]}
    assert [points for _, _, points in plant.store.exclusions(1, None, None)] == [2]
    plant.act(delete("fan"))
    assert plant.store.query("select count(*) from excluded", 1).rows == [(0,)]


def test_the_newest_value_can_be_taken_out_and_the_one_before_is_the_newest_then(plant: Plant) -> None:
    plant.send("pump/t", 20.0, 85.0)
    plant.act(exclude(1, 2))
    assert plant.store.latest().value.tolist() == [20.0]
    plant.send("pump/t", 21.0)
    assert plant.store.latest().value.tolist() == [21.0]


def test_a_metric_that_is_not_there_is_named(plant: Plant) -> None:
    plant.send("pump/temperature", 20.0)
    assert plant.act(exclude(0, 1, "temprature")) == [
        'metric "temprature": device "pump" has no such metric; did you mean "temperature"?'
    ]


def test_readings_that_wait_go_with_their_device_and_are_counted(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "store.duckdb", window="1h")
    plant.send("pump/t", 20.0, 21.0)
    plant.send("other/t", 1.0)
    assert plant.engine.waiting == 3
    plant.act(delete("pump"))
    counts = plant.store.counts()
    assert (counts["received"], counts["dropped.deleted"], counts["waiting"]) == (3, 2, 1)
    plant.store.close()


def test_discovery_names_a_device_that_nobody_has_named(plant: Plant) -> None:
    def described(topic: str, name: str) -> bytes:
        told = {"stat_t": "~", "~": topic, "unit_of_meas": "\u00b0C", "dev": {"ids": ["x"], "name": name}}
        return json.dumps(told).encode()

    plant.send("homeassistant/sensor/1/config", described("attic/t", "Attic sensor"))
    plant.send("attic/t", 20.0)
    plant.send("cellar/t", 12.0)
    assert {device: name for device, (name, _) in devices_of(plant).items()} == {"attic": "Attic sensor", "cellar": ""}
    plant.send("homeassistant/sensor/2/config", described("cellar/t", "Cellar sensor"))
    plant.send("cellar/t", 12.0)
    assert devices_of(plant)["cellar"][0] == "Cellar sensor"
    assert plant.act(rename("attic", "Under the roof"), rename("cellar", "")) == ["", ""]
    plant.restart()
    plant.send("homeassistant/sensor/1/config", described("attic/t", "Another name"))
    plant.send("attic/t", 20.0)
    plant.send("cellar/t", 12.0)
    assert {device: name for device, (name, _) in devices_of(plant).items()} == {
        "attic": "Under the roof",
        "cellar": "cellar",
    }
