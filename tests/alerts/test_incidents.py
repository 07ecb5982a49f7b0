from __future__ import annotations

import random

from alerts.incidents import incident_of, incidents, site_of
from devices.records import AlarmRecord, AlarmState

START = 1_772_366_400 * 1_000_000_000
SECOND = 1_000_000_000
DEVICES = ["hall-1/pump-1", "hall-1/pump-2", "hall-2/pump-3", "lonely"]


def alarm(number: int, series: int, second: float, lasts: float | None = 60) -> AlarmRecord:
    opened = START + int(second * SECOND)
    cleared = None if lasts is None else opened + int(lasts * SECOND)
    state = AlarmState.OPEN if cleared is None else AlarmState.CLEARED
    return AlarmRecord(number, series, state, opened, cleared, "minor", 5.0, 1.0, 0.0, "odd")


def grouped(alarms: list[AlarmRecord]) -> list[tuple[str, list[int]]]:
    return [(each.device, [one.alarm for one in each.alarms]) for each in incidents(alarms, DEVICES.__getitem__)]


def test_a_site_that_alarms_together_is_one_incident_the_first_device_first() -> None:
    found = grouped([alarm(2, 1, 40), alarm(1, 0, 0), alarm(3, 1, 150)])
    assert found == [("hall-1/pump-1", [1, 2, 3])]


def test_other_sites_and_later_alarms_are_incidents_of_their_own() -> None:
    assert grouped([alarm(1, 0, 0), alarm(2, 2, 10), alarm(3, 1, 200)]) == [
        ("hall-1/pump-1", [1]),
        ("hall-2/pump-3", [2]),
        ("hall-1/pump-2", [3]),
    ]


def test_a_device_s_alarms_stay_one_incident_while_one_is_open_and_five_minutes_on() -> None:
    assert grouped([alarm(1, 3, 0, None), alarm(2, 3, 90_000)]) == [("lonely", [1, 2])]
    assert grouped([alarm(1, 3, 0, 60), alarm(2, 3, 359)]) == [("lonely", [1, 2])]
    assert grouped([alarm(1, 3, 0, 60), alarm(2, 3, 361)]) == [("lonely", [1]), ("lonely", [2])]
    assert grouped([alarm(1, 3, 0, 600), alarm(2, 3, 10, 5), alarm(3, 3, 800)]) == [("lonely", [1, 2, 3])]


def test_a_thousand_sensors_in_an_upset_are_one_incident_with_its_cause_first() -> None:
    alarms = [alarm(i, 0 if i == 0 else 1, i * 0.5) for i in range(1_000)]
    random.Random(1).shuffle(alarms)
    found = incidents(alarms, lambda series: DEVICES[series])
    assert [(each.device, each.number, len(each.alarms)) for each in found] == [("hall-1/pump-1", 0, 1_000)]
    assert set(incident_of(found).values()) == {0}


def test_a_site_is_what_stands_before_the_last_level() -> None:
    assert site_of("plant/hall-1/pump-1") == "plant/hall-1"
    assert site_of("lonely") == "lonely"
