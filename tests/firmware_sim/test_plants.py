import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from firmware_sim.fault_kinds import FAULT_KINDS
from firmware_sim.fault_kinds.fault_kind import FaultKind, Window
from firmware_sim.plant_export import ExportFormat, export_plant
from firmware_sim.plants import Plant, PlantOptions, make_plant
from firmware_sim.simulator_cli import main
from firmware_sim.worlds import WORLDS, find_world
from firmware_sim.worlds.world import Metric, Signal, World

from devices.fault_labels import Expected, read_labels
from tuning.plant_folder import read_alarms, read_plant

MINUTE = 60_000_000_000
SHORT = PlantOptions(days=14, learning_days=4)


def contents(plant: Plant) -> list[bytes]:
    return [one.time.tobytes() + one.value.tobytes() + one.sent.tobytes() for one in plant.series]


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_seed_alone_decides_readings_and_labels(world: World) -> None:
    first, again = (make_plant(world, 5, SHORT) for _ in range(2))
    assert contents(first) == contents(again)
    assert first.labels == again.labels
    assert contents(first) != contents(make_plant(world, 6, SHORT))


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_labels_lie_in_the_run_after_the_learning_time_on_series_that_exist(world: World) -> None:
    plant = make_plant(world, 5, SHORT)
    known = {(one.device, one.metric.name) for one in plant.series} | {("*", "*")}
    known |= {(one.device, "*") for one in plant.series}
    faults = [label for label in plant.labels if label.expected is Expected.ALARM]
    assert len(faults) > 10
    for label in plant.labels:
        assert (label.device, label.metric) in known
        assert label.start <= label.visible_start <= label.end
    assert all(plant.learned_by <= label.start < plant.end for label in faults)


def test_two_faults_of_one_metric_never_overlap() -> None:
    plant = make_plant(find_world("office-building"), 5)
    by_metric: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for label in plant.labels:
        if label.expected is Expected.ALARM:
            by_metric.setdefault((label.device, label.metric), []).append((label.start, label.end))
    assert sum(len(spans) > 1 for spans in by_metric.values()) > 5
    for spans in by_metric.values():
        assert all(before[1] < after[0] for before, after in pairwise(sorted(spans)))


def test_before_the_first_label_a_plant_with_faults_is_the_plant_without() -> None:
    world = find_world("cold-chain")
    sick, sound = make_plant(world, 5, SHORT), make_plant(world, 5, PlantOptions(days=14, learning_days=14, sick=0.0))
    for one, other in zip(sick.series, sound.series, strict=True):
        mine, theirs = (s.value[s.time < sick.learned_by] for s in (one, other))
        assert np.array_equal(mine, theirs), one.name


def window(signal: Signal = Signal.MEASUREMENT, *, rows: int = 100, size: float = 8.0) -> Window:
    random = np.random.default_rng(1)
    value = 20 + random.normal(size=rows)
    if signal is Signal.STATE:
        value = (random.random(rows) < 0.1).astype(np.float64)
    if signal is Signal.COUNTER:
        value = 1000 + np.cumsum(random.integers(1, 5, rows)).astype(np.float64)
    metric = Metric("temperature", "°C", 0.01, -40.0, 125.0, signal=signal)
    time = np.arange(rows, dtype=np.int64) * MINUTE
    return Window(time, value, value[0], metric, 1.0, 1.0, size, 1.0, 0.3, random, value[::-1].copy(), value + 30)


@pytest.mark.parametrize("kind", FAULT_KINDS, ids=lambda kind: kind.name)
def test_every_kind_changes_what_is_reported_and_says_what_it_is(kind: FaultKind) -> None:
    given = window(kind.signals[0])
    time, value = kind.apply(given)
    assert len(time) == len(value)
    assert not (np.array_equal(time, given.time) and np.array_equal(value, given.value))
    assert kind.summary
    assert kind.occurrences[0] >= 1


def applied(name: str, given: Window) -> tuple[np.ndarray, np.ndarray]:
    return next(kind for kind in FAULT_KINDS if kind.name == name).apply(given)


def test_faults_do_what_their_names_say() -> None:
    given = window()
    assert np.allclose(applied("level shift", given)[1] - given.value, 8.0)
    assert applied("stuck", given)[1].tolist() == [given.before] * 100
    assert applied("error code", given)[1].tolist() == [85.0] * 100
    assert applied("unit mix-up", given)[1][0] == round(given.value[0] * 1.8 + 32, 4)
    drift = applied("drift", given)[1] - given.value
    assert drift[0] == 0
    assert drift[-1] == pytest.approx(8.0)
    assert len(applied("dropout", given)[0]) == 0
    assert (given.time - applied("clock skew", given)[0] == 2400 * 10**9).all()
    assert applied("chatter", window(Signal.STATE))[1][:4].tolist() == [0, 1, 0, 1]
    counted = applied("counter reset", window(Signal.COUNTER))[1]
    assert counted[0] == 0
    assert (np.diff(counted) > 0).all()


def test_a_replay_and_a_change_too_small_cannot_be_seen() -> None:
    replay = next(kind for kind in FAULT_KINDS if kind.name == "replay")
    assert "a day before" in replay.unseen(window(), replay.apply(window()))
    shift = next(kind for kind in FAULT_KINDS if kind.name == "level shift")
    small = window(size=2.0)
    assert shift.unseen(small, shift.apply(small)) == "smaller than three times the usual scatter"
    assert shift.unseen(window(), shift.apply(window())) == ""


@pytest.mark.parametrize("form", ExportFormat)
def test_an_exported_plant_reads_back_as_it_was(tmp_path: Path, form: ExportFormat) -> None:
    plant = make_plant(find_world("smart-home"), 5, SHORT)
    export_plant(plant, tmp_path, form)
    watch, labels = read_plant(tmp_path)
    assert (watch.world, watch.start, watch.end) == ("smart-home", plant.start, plant.end)
    assert [(label.device, label.metric, label.kind) for label in labels] == [
        (label.device, label.metric, label.kind) for label in plant.labels
    ]
    for one in plant.series:
        assert np.array_equal(watch.times[one.device, one.metric.name], np.unique(one.time)), one.name


def test_recorded_traffic_holds_every_reading_in_order_of_sending(tmp_path: Path) -> None:
    plant = make_plant(find_world("smart-home"), 5, SHORT)
    export_plant(plant, tmp_path)
    with gzip.open(tmp_path / "traffic.jsonl.gz", "rt") as file:
        sent = [json.loads(line) for line in file]
    assert sum(len(message["payload"]) - 1 for message in sent) == plant.readings
    assert all(before["time"] <= after["time"] for before, after in pairwise(sent))
    assert {message["topic"].split("/")[1] for message in sent} == {one.kind for one in plant.series}


def test_the_command_exports_a_world_and_says_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "plant"
    assert main(["--world=smart-home", "--days=9", "--learning-days=3", f"--export={folder}"]) == 0
    assert "9 devices" in capsys.readouterr().err
    assert len(read_labels(folder / "truth.csv")) > 5
    assert "driftline score --alarms" in (folder / "README.md").read_text()


def test_an_unknown_world_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--world=cold-chian", "--export=x"]) == 2
    assert 'unknown world "cold-chian"; did you mean "cold-chain"' in capsys.readouterr().err


def test_alarms_of_any_product_are_read_and_wrong_ones_named(tmp_path: Path) -> None:
    file = tmp_path / "alarms.csv"
    file.write_text("device,metric,from,to\na,x,2026-01-01T00:00:00Z,2026-01-01T01:00:00Z\na,*,1767225600,\n")
    first, second = read_alarms(file, end=2 * 10**18)
    assert (first.end - first.start, second.metric, second.end) == (60 * MINUTE, "*", 2 * 10**18)
    file.write_text("device,metric,from,to\na,x,soon,\n")
    with pytest.raises(ValueError, match=r"alarms.csv: line 2: from: 'soon'"):
        read_alarms(file, end=0)
    file.write_text("device,from,to\n")
    with pytest.raises(ValueError, match="no column 'metric'; expected device, metric, from, to"):
        read_alarms(file, end=0)
