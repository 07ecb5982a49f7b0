"""What is known of devices: records, merges, the tree of the plant, and series that go and come again."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from devices.asset_tree import Asset, AssetNode, asset_tree
from devices.device_actions import (
    DeleteDevice,
    ExcludePoints,
    LabelDevice,
    MergeDevice,
    RenameDevice,
    text_of_device_action,
)
from devices.device_book import DeviceBook, noted
from devices.records import DeviceRecord, SeriesRecord
from devices.series_registry import SeriesRegistry


def test_a_device_gets_its_labels_and_its_time_at_first_sight_alone() -> None:
    book = DeviceBook(lambda _device, levels: {"hall": levels[1]})
    book.meet("pump", ["plant", "hall-1"], 5)
    book.meet("pump", ["plant", "hall-2"], 9)
    assert book.get("pump") == DeviceRecord("pump", labels={"hall": "hall-1"}, first_seen=5)
    assert (book.knows("pump"), book.knows("fan"), book.get("fan")) == (True, False, DeviceRecord("fan"))


def test_a_name_that_a_device_says_is_shown_unless_somebody_named_it() -> None:
    book = DeviceBook()
    book.suggest_name("pump", "Pump 7")
    assert not book.knows("pump")
    book.meet("pump", [], 5)
    book.suggest_name("pump", "pump")
    assert book.get("pump").name == ""
    book.suggest_name("pump", "Pump 7")
    book.suggest_name("pump", "Pump 8")
    assert book.get("pump").name == "Pump 7"


def test_retired_and_muted_devices_are_known_whatever_way_their_records_came() -> None:
    book = DeviceBook()
    for record in (DeviceRecord("a", retired_at=1), DeviceRecord("b", muted_at=2), DeviceRecord("c")):
        book.put(record)
        book.put(record)
    again = DeviceBook()
    again.load_state(json.loads(json.dumps(book.state())))
    for each in (book, again):
        assert (each.retired, each.muted) == ({"a"}, {"b"})
        assert (each.is_retired("a"), each.is_retired("b")) == (True, False)
    book.put(DeviceRecord("a"))
    book.forget("b")
    assert (book.retired, book.muted, book.knows("b")) == (frozenset(), frozenset(), False)


def test_what_has_changed_is_told_once_and_what_was_forgotten_too() -> None:
    book = DeviceBook()
    book.load([DeviceRecord("a"), DeviceRecord("b")])
    assert book.take_changed() == ([], [])
    book.put(DeviceRecord("b", name="B"))
    book.put(DeviceRecord("a", name="A"))
    book.forget("c")
    assert book.take_changed() == ([DeviceRecord("a", name="A"), DeviceRecord("b", name="B")], ["c"])
    assert book.take_changed() == ([], [])


def test_readings_are_of_the_device_that_another_was_merged_into_and_a_circle_ends() -> None:
    book = DeviceBook()
    for device, into in (("a", "b"), ("b", "c"), ("x", "y"), ("y", "x")):
        book.put(DeviceRecord(device, merged_into=into, merged_at=7))
    assert [book.current(device) for device in ("a", "b", "c", "z")] == ["c", "c", "c", "z"]
    assert book.current("x") in ("x", "y")
    book.put(DeviceRecord("a", merged_into="b", merged_at=6))
    book.stand_at(7)
    assert (book.current("a"), book.get("b")) == ("b", DeviceRecord("b"))


def test_devices_with_series_have_a_record_and_those_whose_series_went_have_none() -> None:
    series = [SeriesRecord(0, "a", "m"), SeriesRecord(1, "b", "m"), SeriesRecord(2, "c", "m", gone_at=4)]
    assert noted([DeviceRecord("a", name="A")], series) == [DeviceRecord("a", name="A"), DeviceRecord("b")]


def flat(node: AssetNode) -> list[tuple[str, int, int, int, list[str]]]:
    own = (node.name, node.devices, node.silent, node.open_alarms, node.members)
    return [own, *(each for part in node.parts.values() for each in flat(part))]


def test_a_plant_is_a_tree_of_the_levels_of_names_with_counts() -> None:
    found = asset_tree(
        [
            Asset("plant/b/pump", {}, is_silent=True, open_alarms=2),
            Asset("plant/a/fan", {}, open_alarms=1),
            Asset("lonely", {}),
            Asset("plant/a/door", {}),
        ]
    )
    assert flat(found) == [
        ("", 4, 1, 3, ["lonely"]),
        ("plant", 3, 1, 3, []),
        ("a", 2, 0, 1, ["plant/a/door", "plant/a/fan"]),
        ("b", 1, 1, 2, ["plant/b/pump"]),
    ]


def test_a_plant_is_a_tree_of_labels_the_first_outermost_and_says_what_lacks_one() -> None:
    found = asset_tree([Asset("x", {"hall": "1", "line": "A"}), Asset("y", {"line": "B"})], ["hall", "line"])
    assert [(name, members) for name, _, _, _, members in flat(found)] == [
        ("", []), ("1", []), ("A", ["x"]), ("no hall", []), ("B", ["y"]),
    ]  # fmt: skip


def registry_of(*series: tuple[str, str]) -> SeriesRegistry:
    registry = SeriesRegistry(max_series=10, max_series_per_device=3)
    for device, metric in series:
        registry.find_or_add(device, metric)
    return registry


def test_a_device_that_went_keeps_its_numbers_and_comes_again_as_another() -> None:
    registry = registry_of(("pump", "a"), ("pump", "b"), ("fan", "a"))
    assert registry.remove("pump", 7) == [0, 1]
    assert (registry.series_of("pump"), registry.find("pump", "a"), registry.knows_device("pump")) == ([], None, False)
    assert ([registry.is_there(n) for n in range(3)], registry.there().tolist()) == (
        [False, False, True],
        [False, True],
    )
    assert registry.remove("pump", 8) == []
    assert registry.find_or_add("pump", "a")[0] == 3
    assert registry.device_of().tolist() == [0, 0, 1, 2]
    assert (registry.series_of("pump"), registry.there().tolist()) == ([3], [False, True, True])


def test_at_a_position_before_it_went_a_device_is_there_and_its_follower_waits() -> None:
    registry = registry_of(("pump", "a"), ("fan", "a"))
    registry.remove("pump", 7)
    registry.find_or_add("pump", "a")
    again = SeriesRegistry(max_series=10, max_series_per_device=3)
    again.load(registry.all_known())
    for known in (registry, again):
        known.stand_at(7)
        assert (known.find("pump", "a"), known.is_there(0), known.series_of("pump")) == (0, True, [0])
        assert known.remove("pump", 7) == [0]
        assert (known.find("pump", "a"), known.series_of("pump")) == (2, [2])
        known.stand_at(8)
        assert (known.find("pump", "a"), known.is_there(0)) == (2, False)


def test_stored_series_are_numbered_without_a_gap() -> None:
    with pytest.raises(ValueError, match="series pump/a: expected index 0, got 1"):
        SeriesRegistry(max_series=9, max_series_per_device=9).load([SeriesRecord(1, "pump", "a")])


def test_what_is_known_of_a_series_is_told_when_it_changes() -> None:
    registry = registry_of(("pump", "a"), ("pump", "b"))
    registry.describe(0, arrival=0, unit="")
    assert registry.take_changed(2) == []
    registry.describe(1, arrival=5, unit="bar")
    registry.describe(1, arrival=6, kind="state")
    registry.describe(0, arrival=7, unit="A")
    assert [(registry.record_at(1, at).unit, registry.record_at(1, at).kind) for at in (4, 5, 6)] == [
        ("", "measurement"),
        ("bar", "measurement"),
        ("bar", "state"),
    ]
    assert registry.take_changed(1) == [SeriesRecord(0, "pump", "a", "A")]
    assert registry.take_changed(2) == []
    assert registry.records[1] == SeriesRecord(1, "pump", "b", "bar", "state")


def test_an_action_on_a_device_is_told_in_words() -> None:
    def said(kind: type, **told: object) -> str:
        return text_of_device_action(kind.model_validate({"by": "Ana", "at": 1, "device": "pump"} | told))  # type: ignore[attr-defined]

    assert said(RenameDevice, name="Pump 7") == 'pump as "Pump 7"'
    assert said(RenameDevice) == "pump by its identity"
    assert said(LabelDevice, labels={"hall": "1", "line": None}) == 'pump: hall = "1", line taken away'
    assert said(MergeDevice, into="fan") == "pump into fan"
    assert said(DeleteDevice) == "pump"


def test_an_action_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match='into: got "pump", expected another device than the one that is merged'):
        MergeDevice(by="Ana", at=1, device="pump", into="pump")
    with pytest.raises(ValidationError, match="end: expected a time after start 5, got 5"):
        ExcludePoints(by="Ana", at=1, device="pump", metric="m", start=5, end=5)
    assert ExcludePoints(by="Ana", at=1, device="pump", metric="m", start=5, end=6).end == 6
