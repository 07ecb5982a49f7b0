from __future__ import annotations

import numpy as np

from alerts.incidents import Incident, Topology, incident_of, incidents, site_of
from devices.records import AlarmRecord, AlarmState

START = 1_772_366_400 * 1_000_000_000
SECOND = 1_000_000_000
DEVICES = ["hall-1/pump-1", "hall-1/pump-2", "hall-2/pump-3", "lonely"]


def alarm(number: int, series: int, second: float, lasts: float | None = 60) -> AlarmRecord:
    opened = START + int(second * SECOND)
    cleared = None if lasts is None else opened + int(lasts * SECOND)
    state = AlarmState.OPEN if cleared is None else AlarmState.CLEARED
    return AlarmRecord(number, series, state, opened, cleared, "minor", 5.0, 1.0, 0.0, "odd")


def grouped(alarms: list[AlarmRecord], topology: Topology | None = None) -> list[tuple[str, list[int]]]:
    found = incidents(alarms, DEVICES.__getitem__, topology)
    return [(each.device, [one.alarm for one in each.alarms]) for each in found]


LARGE = Topology([f"hall-1/pump-{n}" for n in range(20)] + [f"hall-2/pump-{n}" for n in range(20)])
"""Sites of more devices than one group has."""


def test_a_site_that_alarms_together_is_one_incident_the_first_device_first() -> None:
    found = grouped([alarm(2, 1, 40), alarm(1, 0, 0), alarm(3, 1, 150)], LARGE)
    assert found == [("hall-1/pump-1", [1, 2, 3])]


def test_other_sites_and_later_alarms_are_incidents_of_their_own() -> None:
    assert grouped([alarm(1, 0, 0), alarm(2, 2, 10), alarm(3, 1, 200)], LARGE) == [
        ("hall-1/pump-1", [1]),
        ("hall-2/pump-3", [2]),
        ("hall-1/pump-2", [3]),
    ]


def test_a_small_site_or_a_labelled_group_is_one_incident_over_an_hour_and_a_half() -> None:
    alarms = [alarm(1, 0, 0), alarm(2, 1, 5_399)]
    assert grouped(alarms) == [("hall-1/pump-1", [1, 2])]
    assert grouped(alarms, LARGE) == [("hall-1/pump-1", [1]), ("hall-1/pump-2", [2])]
    labels = {name: {"group": "line 1"} for name in DEVICES[:2]}
    assert grouped(alarms, Topology([f"hall-1/pump-{n}" for n in range(20)], labels)) == [("hall-1/pump-1", [1, 2])]
    assert grouped([alarm(1, 0, 0), alarm(2, 1, 5_401)]) == [("hall-1/pump-1", [1]), ("hall-1/pump-2", [2])]


def test_the_device_that_feeds_the_first_stands_first() -> None:
    labels = {"hall-1/pump-1": {"fed_by": "hall-1/pump-2"}, "hall-1/pump-2": {"fed_by": "lonely"}}
    assert grouped([alarm(1, 0, 0), alarm(2, 1, 60)], Topology(DEVICES, labels)) == [("hall-1/pump-2", [1, 2])]


def test_a_device_s_alarms_stay_one_incident_while_one_is_open_and_an_hour_on() -> None:
    assert grouped([alarm(1, 3, 0, None), alarm(2, 3, 90_000)]) == [("lonely", [1, 2])]
    assert grouped([alarm(1, 3, 0, 60), alarm(2, 3, 3_659)], LARGE) == [("lonely", [1, 2])]
    assert grouped([alarm(1, 3, 0, 60), alarm(2, 3, 3_661)], LARGE) == [("lonely", [1]), ("lonely", [2])]
    assert grouped([alarm(1, 3, 0, 6_000), alarm(2, 3, 10, 5), alarm(3, 3, 8_000)]) == [("lonely", [1, 2, 3])]


def test_a_device_takes_part_again_in_what_is_open_still() -> None:
    open_still = [alarm(1, 0, 0, 40_000), alarm(2, 1, 30, 10), alarm(3, 1, 20_000)]
    assert grouped(open_still, LARGE) == [("hall-1/pump-1", [1, 2, 3])]


def test_a_thousand_sensors_in_an_upset_are_at_most_ten_rows_in_ten_minutes_with_the_cause_first() -> None:
    """The compressor of a plant fails; twenty halls of fifty sensors follow, and elsewhere a few alarm on their own."""
    random = np.random.default_rng(16)
    names = ["plant/utilities/compressor-1"]
    names += [f"plant/hall-{hall}/sensor-{n}" for hall in range(20) for n in range(50)]
    names += [f"office/floor-{n}/room-1" for n in range(4)]
    upset = [alarm(1, 0, 0, None)]
    upset += [alarm(n + 1, n, 1 + float(random.exponential(90)), None) for n in range(1, 1_001)]
    upset += [alarm(2_000 + n, 1_001 + n, 100.0 * n) for n in range(4)]
    random.shuffle(upset)
    for minute in (1, 2, 5, 10):
        known = [each for each in upset if each.opened <= START + minute * 60 * SECOND]
        found = incidents(known, names.__getitem__, Topology(names))
        assert len(found) <= 10
        largest = max(found, key=lambda each: len(each.alarms))
        assert (largest.device, largest.number) == ("plant/utilities/compressor-1", 1)
    assert len(largest.alarms) > 990
    assert len(set(incident_of(found).values())) == len(found)


def test_a_site_is_what_stands_before_the_last_level() -> None:
    assert site_of("plant/hall-1/pump-1") == "plant/hall-1"
    assert site_of("lonely") == "lonely"


def test_alarms_of_a_large_site_are_one_incident_up_to_two_minutes_apart() -> None:
    assert grouped([alarm(1, 0, 0), alarm(2, 1, 120)], LARGE) == [("hall-1/pump-1", [1, 2])]
    assert grouped([alarm(1, 0, 0), alarm(2, 1, 120.1)], LARGE) == [("hall-1/pump-1", [1]), ("hall-1/pump-2", [2])]


def test_a_site_of_sixteen_is_a_group_one_of_seventeen_and_a_lonely_device_are_none() -> None:
    sixteen = Topology(f"hall/pump-{n}" for n in range(16))
    seventeen = Topology(f"hall/pump-{n}" for n in range(17))
    assert (sixteen.group("hall/pump-1"), seventeen.group("hall/pump-1")) == ("hall", "")
    assert Topology(["lonely"]).group("lonely") == ""
    labelled = Topology(["hall/pump-1"], {"hall/pump-1": {"group": "line 1"}})
    assert labelled.group("hall/pump-1") == "hall\nline 1"


def test_feeders_are_named_upwards_and_a_circle_ends() -> None:
    labels = {"a": {"fed_by": "b"}, "b": {"fed_by": "c"}, "c": {"fed_by": "b"}}
    assert Topology((), labels).feeders("a") == ["b", "c"]
    assert Topology((), labels).feeders("d") == []


def flooded(*sites: tuple[str, float]) -> list[tuple[str, list[int]]]:
    """One alarm of each site at a second, numbered from 1; every site is large, and so no group."""
    names = [f"{site}/pump" for site, _ in sites]
    every = Topology([f"{site}/pump-{n}" for site, _ in sites for n in range(20)])
    alarms = [alarm(number + 1, number, second) for number, (_, second) in enumerate(sites)]
    return [(each.device, [one.alarm for one in each.alarms]) for each in incidents(alarms, names.__getitem__, every)]


def test_three_sites_under_one_roof_that_begin_together_are_one_incident_and_two_are_two() -> None:
    two = [("plant/a", 0), ("plant/b", 60)]
    assert flooded(*two) == [("plant/a/pump", [1]), ("plant/b/pump", [2])]
    assert flooded(*two, ("plant/c", 120)) == [("plant/a/pump", [1, 2, 3])]
    assert flooded(*two, ("plant/c", 121)) == [("plant/a/pump", [1]), ("plant/b/pump", [2]), ("plant/c/pump", [3])]
    assert len(flooded(("a", 0), ("b", 1), ("c", 2))) == 3
    assert len(flooded(*two, ("other/c", 61))) == 3


def test_what_becomes_one_in_a_flood_goes_on_as_one() -> None:
    late = [("plant/a", 0), ("plant/b", 60), ("plant/c", 100), ("plant/b", 3_000), ("plant/d", 110)]
    assert flooded(*late) == [("plant/a/pump", [1, 2, 3, 5, 4])]


def test_an_incident_is_open_while_one_of_its_alarms_is() -> None:
    def found(*alarms: AlarmRecord) -> Incident:
        (incident,) = incidents(alarms, DEVICES.__getitem__)
        return incident

    ended = found(alarm(1, 0, 0, 100), alarm(2, 0, 10, 20))
    assert (ended.until, ended.newest, ended.sites) == (START + 100 * SECOND, START + 10 * SECOND, {"hall-1"})
    assert (ended.is_open(START + 100 * SECOND - 1), ended.is_open(START + 100 * SECOND)) == (True, False)
    lasting = found(alarm(1, 0, 0, None), alarm(2, 0, 10, 20))
    assert (lasting.until, lasting.is_open(START + 10**6 * SECOND)) == (None, True)


def test_a_device_takes_part_in_what_is_open_still_up_to_a_day_after_its_newest_alarm() -> None:
    first = [alarm(1, 0, 0, 10**6), alarm(2, 1, 10, 5)]
    assert len(grouped([*first, alarm(3, 1, 10 + 86_400)], LARGE)) == 1
    assert len(grouped([*first, alarm(3, 1, 11 + 86_400)], LARGE)) == 2
