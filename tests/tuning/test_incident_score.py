from __future__ import annotations

from devices.fault_labels import FaultLabel, Severity
from tuning.incident_score import IncidentScore, score_incidents
from tuning.scorecard import Alarm, Watch

MINUTE = 60_000_000_000
START = 1_750_000_000_000_000_000


def label(device: str, minute: int, root: str) -> FaultLabel:
    start = START + minute * MINUTE
    return FaultLabel(device, "temperature", "leak", start, start + 600 * MINUTE, Severity.MAJOR, root)


def alarm(device: str, minute: int, lasts: int = 60) -> Alarm:
    start = START + minute * MINUTE
    return Alarm(device, "temperature", start, start + lasts * MINUTE, "level")


def scored(alarms: list[Alarm], labels: list[FaultLabel], known: dict[str, dict[str, str]]) -> IncidentScore:
    return score_incidents(Watch("plant", {}, START, START, START), labels, alarms, "plant/site", known)


def test_a_cascade_is_one_incident_and_the_device_that_feeds_the_first_is_a_root() -> None:
    labels = [label("room", 0, "a"), label("logger", 20, "a"), label("elsewhere", 2_000, "b")]
    alarms = [alarm("logger", 30), alarm("room", 50), alarm("elsewhere", 2_005)]
    without = scored(alarms, labels, {name: {} for name in ("room", "logger", "elsewhere")})
    assert without == IncidentScore(cascades=1, one=1, root=0, several=1, mixed=0, alarms=3, incidents=2)
    fed = scored(alarms, labels, {"room": {}, "logger": {"fed_by": "room"}, "elsewhere": {}})
    assert (fed.cascades, fed.one, fed.root) == (1, 1, 1)


def test_a_cascade_in_two_incidents_and_an_incident_of_two_faults_are_told() -> None:
    labels = [label("room", 0, "a"), label("logger", 20, "a"), label("fan", 0, "b")]
    alarms = [alarm("room", 5, 400), alarm("logger", 200), alarm("fan", 201)]
    found = scored(alarms, labels, {"room": {}, "logger": {}, "fan": {}})
    assert (found.one, found.root, found.several, found.mixed) == (0, 1, 1, 1)
