import numpy as np
import pytest
from firmware_sim.worlds import WORLDS, find_world
from firmware_sim.worlds.sampling import Series, quantised, sample
from firmware_sim.worlds.surroundings import Surroundings
from firmware_sim.worlds.world import DeviceTruth, PlantFault, PlantFaults, Signal, World

MONDAY = 1_772_406_000_000_000_000
"""2026-03-02T00:00 in Berlin."""
HOUR = 3_600_000_000_000


def around(world: World, *, days: int = 7, seed: int = 3, start: int = MONDAY) -> Surroundings:
    return Surroundings(start, world.interval, int(days * 86_400 / world.interval), seed)


def truths(world: World, site: Surroundings, *faults: PlantFault) -> dict[str, DeviceTruth]:
    return {one.device: one for one in world.simulate(site, PlantFaults(faults, site.seconds), 1)}


def column(truth: DeviceTruth, metric: str) -> np.ndarray:
    return truth.values[[m.name for m in truth.metrics].index(metric)]


def fault(world: World, kind: str, place: int, first_hour: float, hours: float) -> PlantFault:
    found = next(one for one in world.plant_faults if one.name == kind)
    start = MONDAY + int(first_hour * HOUR)
    return PlantFault(found, place, start, start + int(hours * HOUR))


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_one_seed_gives_one_run_and_another_seed_another(world: World) -> None:
    first, again, other = (sample(world.simulate(a, PlantFaults((), a.seconds), 1), a) for a in
                           (around(world), around(world), around(world, seed=4)))  # fmt: skip
    assert [s.value.tobytes() + s.time.tobytes() for s in first] == [
        s.value.tobytes() + s.time.tobytes() for s in again
    ]
    assert any(not np.array_equal(a.value, b.value) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_sensors_report_finite_values_within_their_limits_in_order_of_time(world: World) -> None:
    site = around(world)
    for series in sample(world.simulate(site, PlantFaults((), site.seconds), 1), site):
        assert np.isfinite(series.value).all(), series.name
        assert series.value.min() >= series.metric.low, series.name
        assert series.value.max() <= series.metric.high, series.name
        assert (np.diff(series.time) > 0).all(), series.name


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_counters_run_backwards_only_where_they_roll_over_or_start_anew_each_day(world: World) -> None:
    site = around(world)
    for series in sample(world.simulate(site, PlantFaults((), site.seconds), 1), site):
        if series.metric.signal is Signal.COUNTER:
            back = np.flatnonzero(np.diff(series.value) < 0)
            most = 8 if series.metric.name == "energy_today" else 1 if series.metric.rollover else 0
            assert len(back) <= most, series.name


def test_a_hall_works_two_shifts_from_monday_to_friday() -> None:
    hall = find_world("machine-hall")
    site = around(hall)
    speed = column(truths(hall, site)["motor-01"], "speed")
    at_night = (site.hour < 5.5) | (site.hour > 22.5)
    assert speed[at_night | (site.weekday > 4)].max() == 0
    assert 0.8 < np.mean(speed[(site.hour > 7) & (site.hour < 21) & (site.weekday < 5)] > 1400) < 1


def test_a_public_holiday_is_no_day_of_work() -> None:
    hall = find_world("machine-hall")
    # Good Friday of 2026 is 3 April; 30 March is the Monday before, and daylight saving has begun the day before.
    site = around(hall, start=MONDAY + 4 * 7 * 24 * HOUR - HOUR)
    assert np.unique(site.weekday[site.holiday]).tolist() == [4]
    assert column(truths(hall, site)["motor-01"], "speed")[site.holiday].max() == 0


def test_one_coolant_loss_heats_every_motor_of_its_line_and_nothing_else() -> None:
    hall = find_world("machine-hall")
    site = around(hall)
    lost = fault(hall, "coolant loss", 0, 32, 8)
    healthy, faulty = truths(hall, site), truths(hall, site, lost)
    noon = (site.time > lost.start + HOUR) & (site.time < lost.end)
    for name in ("motor-01", "motor-02", "motor-03"):
        warmer = column(faulty[name], "temperature") - column(healthy[name], "temperature")
        assert 8 < np.median(warmer[noon]) < 35
        assert np.array_equal(column(faulty[name], "vibration"), column(healthy[name], "vibration"))
    assert np.array_equal(faulty["hall-01"].values, healthy["hall-01"].values)


def test_a_burst_pipe_raises_the_flow_lowers_the_pressure_and_draws_the_tank() -> None:
    water = find_world("water-network")
    site = around(water)
    burst = fault(water, "burst pipe", 1, 26, 6)
    healthy, faulty = truths(water, site), truths(water, site, burst)
    during = (site.time >= burst.start) & (site.time < burst.end)
    more = column(faulty["district-02"], "flow") - column(healthy["district-02"], "flow")
    assert more[during].min() > 20
    assert more[~during].max() < 1e-9
    assert (column(faulty["district-02"], "pressure") < column(healthy["district-02"], "pressure"))[during].mean() > 0.9
    pumped = [np.sum(column(t["pump-01"], "running")[during]) for t in (healthy, faulty)]
    assert pumped[1] > pumped[0]


def test_wear_grows_from_nothing_to_its_end() -> None:
    hall = find_world("machine-hall")
    site = around(hall, days=14)
    worn = fault(hall, "bearing wear", 2, 24, 240)
    healthy, faulty = truths(hall, site), truths(hall, site, worn)
    ratio = column(faulty["motor-03"], "vibration") / column(healthy["motor-03"], "vibration")
    running = column(healthy["motor-03"], "vibration") > 0.5
    first, last = (running & (np.abs(site.time - moment) < 12 * HOUR) for moment in (worn.start, worn.end - 8 * HOUR))
    assert np.median(ratio[first]) < 1.1
    assert np.median(ratio[last]) > 2.5


def test_a_sensor_that_reports_on_change_is_silent_while_nothing_changes_and_says_that_it_lives() -> None:
    home = find_world("smart-home")
    site = around(home)
    series = {s.name: s for s in sample(home.simulate(site, PlantFaults((), site.seconds), 1), site)}
    contact: Series = series["contact-01/contact"]
    assert 50 < len(contact.time) < 1500
    assert np.diff(contact.time).max() <= 3062 * 10**9
    same = np.diff(contact.value) == 0
    assert np.diff(contact.time)[same].min() >= 3000 * 10**9


def test_values_are_reported_in_the_sensors_steps() -> None:
    metric = find_world("cold-chain").simulate(around(WORLDS[1]), PlantFaults((), around(WORLDS[1]).seconds), 1)[1]
    logger = metric.metrics[0]
    assert quantised(np.array([3.9, 4.2, 4.26, -200.0]), logger).tolist() == [4.0, 4.0, 4.5, -40.0]


def test_an_unknown_world_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r'unknown world "machine-hal"; did you mean "machine-hall"\?'):
        find_world("machine-hal")
