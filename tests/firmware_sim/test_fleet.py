from collections.abc import Sequence

import numpy as np
import pytest
from firmware_sim.faults import Fault, FaultKind
from firmware_sim.models import MODELS, Channel
from firmware_sim.plans import Scheduled
from firmware_sim.simulated_fleet import Fleet, GroupBlock
from firmware_sim.simulation_settings import SimulatorSettings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

SECOND = 1_000_000_000
START = 1_700_000_000
"""A tick of one second: a Tuesday, 22:13 UTC."""


def fleet(faults: Sequence[Fault] = (), **settings: object) -> Fleet:
    built = Fleet(SimulatorSettings(**{"devices": 10, **settings}), start_tick=START)
    built.follow(Scheduled(faults))
    return built


def joined(fleet: Fleet, *ticks: int) -> list[GroupBlock]:
    """Blocks of the given lengths, one after another, joined by kind."""
    first, parts = START, []
    for count in ticks:
        parts.append(fleet.block(first, count))
        first += count
    return [
        GroupBlock(
            group[0].devices,
            group[0].topics,
            group[0].channels,
            np.concatenate([part.times for part in group]),
            np.concatenate([part.values for part in group], axis=1),
            np.concatenate([part.present for part in group]),
        )
        for group in zip(*parts, strict=True)
    ]


def column(blocks: list[GroupBlock], device: str, metric: str) -> NDArray[np.float64]:
    block = next(block for block in blocks if device in block.devices)
    channel = [channel.name for channel in block.channels].index(metric)
    return block.values[channel, :, block.devices.index(device)]


def same(left: list[GroupBlock], right: list[GroupBlock]) -> bool:
    return all(
        np.array_equal(a.values, b.values, equal_nan=True)
        and np.array_equal(a.times, b.times)
        and np.array_equal(a.present, b.present)
        for a, b in zip(left, right, strict=True)
    )


ALL_FAULTS = [
    Fault("press-01", "temperature", FaultKind.STUCK, (START + 10) * SECOND, (START + 25) * SECOND),
    Fault("press-02", "vibration", FaultKind.NOISE_BURST, (START + 5) * SECOND, (START + 30) * SECOND),
    Fault("pump-01", "current", FaultKind.CORRELATION_BREAK, (START + 3) * SECOND, (START + 33) * SECOND),
    Fault("pump-02", "current", FaultKind.DRIFT, (START + 3) * SECOND, (START + 33) * SECOND),
]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
@hypothesis_settings(max_examples=25, deadline=None)
def test_the_same_seed_gives_the_same_readings_in_blocks_of_any_length(lengths: list[int]) -> None:
    assert same(joined(fleet(ALL_FAULTS), *lengths), joined(fleet(ALL_FAULTS), sum(lengths)))


def test_another_seed_gives_other_readings() -> None:
    assert not same(joined(fleet(seed=1), 5), joined(fleet(seed=2), 5))


def test_devices_have_names_and_topics_of_their_own_and_read_at_moments_of_their_own() -> None:
    blocks = fleet(devices=50).block(START, 3)
    names = [name for block in blocks for name in block.devices]
    assert len(set(names)) == len(names) == 50
    assert names[0] == "press-01"
    for block in blocks:
        assert [topic.decode().rsplit("/", 1)[1] for topic in block.topics] == block.devices
    moments = {int(time) for block in blocks for time in block.times[0]}
    assert len(moments) == 20
    assert all(START * SECOND <= moment < (START + 1) * SECOND for moment in moments)


def test_every_kind_of_model_is_in_the_fleet() -> None:
    devices = {name.rsplit("-", 1)[0] for block in fleet().block(START, 1) for name in block.devices}
    assert devices == {model.kind for model in MODELS}


def test_readings_keep_to_the_resolution_and_the_range_of_their_sensors_all_day() -> None:
    for block in fleet(interval="2m").block(START // 120, 720):
        for channel, plane in zip(block.channels, block.values, strict=True):
            assert np.array_equal(plane, np.round(plane, channel.decimals)), channel
            assert (plane >= channel.low).all() and (plane <= channel.high).all(), channel
            assert np.isfinite(plane).all(), channel


def test_a_machines_channels_follow_one_load() -> None:
    blocks = joined(fleet(), 1800)
    vibration, current = (column(blocks, "press-01", metric) for metric in ("vibration", "current"))
    assert np.corrcoef(vibration, current)[0, 1] > 0.6
    temperature = column(blocks, "press-01", "temperature")
    assert np.corrcoef(temperature[120:], current[:-120])[0, 1] > np.corrcoef(temperature, current)[0, 1] > 0


def test_a_broken_correlation_turns_one_channel_against_the_others() -> None:
    broken = Fault("press-01", "current", FaultKind.CORRELATION_BREAK, START * SECOND, (START + 900) * SECOND)
    blocks = joined(fleet([broken]), 900)
    vibration, current = (column(blocks, "press-01", metric) for metric in ("vibration", "current"))
    assert np.corrcoef(vibration, current)[0, 1] < -0.5


def test_a_room_fills_by_day_and_a_short_day_shows_the_whole_cycle_soon() -> None:
    day = 600
    midnight = START // day * day
    built = Fleet(SimulatorSettings(devices=10, day="10m"), start_tick=midnight)
    co2 = column(built.block(midnight, 7 * day), "room-01", "co2").reshape(7, day)
    workdays = co2[co2.max(axis=1) > 600]
    assert 4 <= len(workdays) <= 6
    assert (workdays[:, day // 2] > workdays[:, 0] + 100).all()


def test_a_counter_never_goes_back() -> None:
    count = column(joined(fleet(), 600), "counter-01", "count")
    assert (np.diff(count) >= 0).all()
    assert count[-1] > count[0]


def test_a_tank_fills_while_its_valve_is_open() -> None:
    blocks = joined(fleet(), 900)
    level, flow, valve = (column(blocks, "tank-01", metric) for metric in ("level", "flow", "valve"))
    filling = valve[:-20] == valve[20:]
    rise = level[20:] - level[:-20]
    assert (rise[filling & (valve[:-20] == 100)] > 0).mean() > 0.95
    assert (rise[filling & (valve[:-20] == 0)] < 0).mean() > 0.95
    assert (flow[valve == 0] == 0).all()
    assert (flow[valve == 100] > 0).all()


def test_what_a_device_sent_before_is_not_sent_again() -> None:
    first = fleet()
    first.block(START, 10)
    newest = first.newest((START + 5) * SECOND)
    again = Fleet(SimulatorSettings(devices=10), start_tick=START, newest=newest)
    for block in again.block(START, 10):
        for name, times, present in zip(block.devices, block.times.T, block.present.T, strict=True):
            assert newest[name] <= (START + 5) * SECOND
            assert times[present].min() == newest[name] + SECOND


def test_a_fleet_goes_on_from_what_it_carried() -> None:
    whole = fleet()
    whole.block(START, 100)
    resumed = Fleet(SimulatorSettings(devices=10), start_tick=START + 100, carried=whole.carried())
    before = column(whole.block(START + 100, 1), "counter-01", "count")[0]
    after = column(resumed.block(START + 100, 1), "counter-01", "count")[0]
    assert abs(after - before) <= 1


@pytest.mark.parametrize("kind", list(FaultKind))
def test_a_fault_shows_within_its_label_and_nowhere_else(kind: FaultKind) -> None:
    metric = "*" if kind is FaultKind.DROPOUT else "current"
    fault = Fault("pump-01", metric, kind, (START + 20) * SECOND, (START + 60) * SECOND)
    good, bad = joined(fleet(), 100), joined(fleet([fault]), 100)
    for before, after in zip(good, bad, strict=True):
        differs = (before.values != after.values) | (before.present != after.present)[None]
        for c, channel in enumerate(before.channels):
            for d, device in enumerate(before.devices):
                concerned = device == fault.device and metric in ("*", channel.name)
                inside = (before.times[:, d] >= fault.start) & (before.times[:, d] < fault.end)
                assert not differs[c, ~inside, d].any()
                assert bool(differs[c, inside, d].any()) == concerned
    faulty = column(bad, "pump-01", "current")[20:60]
    if kind is FaultKind.STUCK:
        assert len(set(faulty.tolist())) == 1
    if kind is FaultKind.MISSING_CHANNEL:
        assert np.isnan(faulty).all()
    if kind is FaultKind.LEVEL_SHIFT:
        shift = faulty - column(good, "pump-01", "current")[20:60]
        assert shift == pytest.approx(np.full(40, 8 * scale_of(good, "pump-01", "current")), abs=0.02)


def test_faults_are_told_once_as_they_begin() -> None:
    built = fleet(ALL_FAULTS)
    built.block(START, 4)
    assert [fault.device for fault in built.begun_faults()] == ["pump-01", "pump-02"]
    assert built.begun_faults() == []
    built.block(START + 4, 20)
    assert [fault.device for fault in built.begun_faults()] == ["press-02", "press-01"]


def scale_of(blocks: list[GroupBlock], device: str, metric: str) -> float:
    channels: list[Channel] = [c for b in blocks if device in b.devices for c in b.channels if c.name == metric]
    return channels[0].scale
