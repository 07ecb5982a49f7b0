"""The score card of a service's own simulated fleet: its faults are those of its own devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from devices.fault_labels import FaultLabel, Severity
from tuning.live_scores import score_live
from tuning.scorecard import Verdict

SECOND = 10**9
START = 1_795_800_000 * SECOND


def test_a_second_fleet_whose_devices_are_named_alike_takes_no_fault_of_the_first() -> None:
    fleets = [("plant/hall-1/press-01", START), ("lab/hall-1/press-01", START + 900 * SECOND)]

    def query(sql: str, most: int) -> Sequence[Sequence[Any]]:
        if "from alarms" in sql:
            opened = START + 500 * SECOND
            return [("plant/hall-1/press-01", "temperature", opened, opened + 30 * SECOND, '{"shift": 7.0}')]
        return [(device, "temperature", 1_000, begun, START + 1_000 * SECOND) for device, begun in fleets]

    begin = START + 500 * SECOND
    label = FaultLabel("press-01", "temperature", "level shift", begin, begin + 40 * SECOND, Severity.MAJOR, root="1")
    score = score_live(query, [label], simulated=["press-01"])
    assert [(fault.device, fault.found_by) for fault in score.faults] == [("plant/hall-1/press-01", "shift")]
    assert [alarm.verdict for alarm in score.alarms] == [Verdict.TRUE]
