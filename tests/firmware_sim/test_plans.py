from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from firmware_sim.faults import WHOLE_DEVICE, Fault, FaultKind
from firmware_sim.plans import Random, Targets, read_schedule
from firmware_sim.simulated_fleet import Fleet
from firmware_sim.simulation_settings import SimulatorSettings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from devices.fault_labels import append_labels, read_labels

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
HOUR = 3600 * SECOND


def targets(devices: int = 50) -> Targets:
    return Fleet(SimulatorSettings(devices=devices), start_tick=0).targets


def random_plan(seed: int, *, devices: int = 50) -> Random:
    return Random(
        targets(devices),
        np.random.default_rng(seed),
        first=NOW - HOUR,
        now=NOW,
        interval=SECOND,
        every=30 * SECOND,
    )


@given(st.integers(0, 2**32))
@hypothesis_settings(max_examples=20, deadline=None)
def test_live_faults_begin_large_on_the_first_device_and_go_on_over_the_fleet(seed: int) -> None:
    plan = random_plan(seed)
    plan.until(NOW)
    plan.begin_live(NOW)
    faults = plan.until(NOW + HOUR)
    first = faults[0]
    assert (first.device, first.metric, first.kind) == ("press-01", "temperature", FaultKind.LEVEL_SHIFT)
    assert 15 * SECOND <= first.start - NOW <= 20 * SECOND
    gaps = np.diff([fault.start for fault in faults]) / SECOND
    assert gaps.min() >= 20
    assert 25 < gaps.mean() < 40
    assert len({fault.device for fault in faults}) > 10
    assert len({fault.kind for fault in faults}) >= 8


@given(st.integers(0, 2**32), st.integers(1, 12))
@hypothesis_settings(max_examples=20, deadline=None)
def test_a_device_has_one_random_fault_at_a_time_and_only_such_as_fit_the_channel(seed: int, devices: int) -> None:
    plan = random_plan(seed, devices=devices)
    plan.begin_live(NOW)
    known = targets(devices)
    ends: dict[str, int] = {}
    for fault in plan.until(NOW + HOUR):
        assert fault.start >= ends.get(fault.device, 0)
        assert fault.end > fault.start
        ends[fault.device] = fault.end
        if fault.kind is FaultKind.DROPOUT:
            assert fault.metric == WHOLE_DEVICE
        else:
            channel = next(channel for channel in known[fault.device] if channel.name == fault.metric)
            assert fault.kind.value in channel.faults


@given(st.integers(0, 2**32))
@hypothesis_settings(max_examples=20, deadline=None)
def test_the_history_holds_faults_but_not_at_its_ends_nor_on_the_first_device(seed: int) -> None:
    faults = random_plan(seed).until(NOW)
    assert faults
    for fault in faults:
        assert NOW - HOUR + 300 * SECOND <= fault.start < fault.end <= NOW - 60 * SECOND
        assert fault.device != "press-01"


def test_the_same_seed_plans_the_same_faults_however_it_is_asked() -> None:
    at_once, in_steps = random_plan(3), random_plan(3)
    steps = [fault for minute in range(61) for fault in in_steps.until(NOW - HOUR + minute * 60 * SECOND)]
    assert at_once.until(NOW) == steps


def test_many_live_faults_are_an_earlier_one_again_and_some_last_long() -> None:
    plan = random_plan(5)
    plan.until(NOW)
    plan.begin_live(NOW)
    faults = plan.until(NOW + 3 * HOUR)[1:]
    same = Counter((fault.device, fault.metric, fault.kind, fault.strength) for fault in faults)
    again = sum(count - 1 for count in same.values())
    assert 0.3 < again / len(faults) < 0.6
    assert max(same.values()) >= 4
    lasting = [fault for fault in faults if fault.end - fault.start > 400 * SECOND]
    assert len(lasting) > 0.05 * len(faults)
    assert {FaultKind.STUCK, FaultKind.DRIFT, FaultKind.DROPOUT} <= {fault.kind for fault in faults}


def test_labels_with_the_columns_of_an_earlier_version_are_kept_beside_the_new_ones(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("device,metric,kind,start,end\nold,x,spike,a,b\n")
    fault = Fault("press-01", "temperature", FaultKind.SPIKE, NOW, NOW + 5 * SECOND)
    append_labels(file, [fault.label()])
    assert [(label.device, label.kind, label.start, label.end) for label in read_labels(file)] == [
        ("press-01", "spike", NOW, NOW + 5 * SECOND)
    ]
    assert "old,x,spike" in (tmp_path / "labels.csv.old").read_text()


def test_labels_written_by_one_run_are_a_schedule_for_the_next(tmp_path: Path) -> None:
    faults = [
        Fault("press-01", "temperature", FaultKind.SPIKE, NOW, NOW + 5 * SECOND),
        Fault("tank-01", WHOLE_DEVICE, FaultKind.DROPOUT, NOW + SECOND // 4, NOW + 60 * SECOND),
    ]
    append_labels(tmp_path / "labels.csv", [faults[0].label()])
    append_labels(tmp_path / "labels.csv", [faults[1].label()])
    assert read_schedule(tmp_path / "labels.csv", targets(), live=0) == faults


def test_a_schedule_may_count_from_the_start_of_the_live_phase(tmp_path: Path) -> None:
    file = tmp_path / "faults.csv"
    file.write_text("device,metric,kind,start,end,strength\npump-01,current,drift,+10s,+1m30s,-4.5\n")
    assert read_schedule(file, targets(), live=NOW) == [
        Fault("pump-01", "current", FaultKind.DRIFT, NOW + 10 * SECOND, NOW + 90 * SECOND, -4.5)
    ]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("press-1,temperature,spike,+1s,+2s", 'line 2: device: unknown "press-1"; did you mean "press-10"'),
        ("press-01,temprature,spike,+1s,+2s", 'line 2: metric: unknown "temprature"; did you mean "temperature"'),
        ("press-01,temperature,spikes,+1s,+2s", 'line 2: kind: unknown "spikes"; did you mean "spike"'),
        ("press-01,temperature,spike,soon,+2s", "line 2: start 'soon': expected ISO 8601"),
        ("press-01,temperature,spike,+2s,+2s", "line 2: end '+2s': expected a time after start"),
        ("press-01,temperature,dropout,+1s,+2s", 'line 2: metric: unknown "temperature" (known: *)'),
    ],
)
def test_a_wrong_schedule_is_refused_with_line_value_and_expectation(tmp_path: Path, row: str, complaint: str) -> None:
    file = tmp_path / "faults.csv"
    file.write_text(f"device,metric,kind,start,end\n{row}\n")
    with pytest.raises(ValueError) as refused:
        read_schedule(file, targets(), live=NOW)
    assert complaint in str(refused.value)
    assert str(file) in str(refused.value)
