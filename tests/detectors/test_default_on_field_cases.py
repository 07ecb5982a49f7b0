"""The default on signals of public reports: each fault has an alarm at the default budget, the rest is quiet."""

from __future__ import annotations

import numpy as np
import pytest
from field_cases import FieldCase, field_case

from alerts.alarm_settings import AlarmSettings
from alerts.policy import AlarmPolicy
from alerts.policy_kernels import OPENED
from detectors.ensemble import Ensemble, EnsembleParameters
from detectors.ensemble_kernel import PART_NAMES


class Judged:
    """What the default and its budget make of one case: rows alarmed, rows at which an alarm opens, the channel."""

    def __init__(self, case: FieldCase) -> None:
        count = len(case.time)
        slot = np.zeros(count, np.int32)
        detector, policy = Ensemble(EnsembleParameters()), AlarmPolicy(AlarmSettings())
        detector.grow(1)
        policy.grow(1)
        scores = detector.step(slot, case.time, case.value, np.ones(count, np.bool_))
        verdicts = policy.step(slot, case.time, scores.score)
        assert scores.channel is not None
        self.anomaly = verdicts.anomaly
        self.opened = verdicts.event == OPENED
        self.channel = scores.channel


@pytest.mark.parametrize(
    ("number", "name", "others"),
    [
        (40, "kwh-total-plain", 0),
        (40, "kwh-total-reset", 0),
        (40, "kwh-total-steeper", 0),
        (41, "kwh-today", 0),
        (43, "pump", 0),
        (44, "cellar", 0),
        (44, "cellar-one-85", 0),
        (44, "cellar-clean", 0),
        (46, "river-level", 0),
        (47, "room", 0),
        (52, "half-degree", 0),
        (52, "fine-then-frozen", 0),
        (54, "p95", 2),
        (55, "constant", 0),
        (58, "linkquality", 0),
        (61, "pressure", 0),
    ],
)
def test_each_fault_has_an_alarm_and_what_else_opens_is_within_the_budget(number: int, name: str, others: int) -> None:
    case = field_case(number, name)
    judged = Judged(case)
    for alarm in range(len(case.alarms)):
        assert judged.anomaly[case.within(alarm)].any(), case.alarms[alarm][2]
    assert int(judged.opened[case.elsewhere()].sum()) <= others


def test_an_error_code_is_named_and_the_fault_after_it_is_found() -> None:
    case = field_case(44, "cellar-one-85")
    judged = Judged(case)
    code = np.flatnonzero(case.value == 85.0)
    assert [PART_NAMES[judged.channel[row]] for row in code] == ["error_code"] * len(code)


def test_a_frozen_sensor_is_told_as_stuck() -> None:
    case = field_case(61, "pressure")
    judged = Judged(case)
    opened = np.flatnonzero(judged.opened & case.within(0))
    assert [PART_NAMES[judged.channel[row]] for row in opened] == ["stuck"]


def test_a_change_of_unit_is_found_at_once() -> None:
    for name in ("celsius-to-fahrenheit", "tenth-for-a-week"):
        case = field_case(50, name)
        assert Judged(case).anomaly[case.within(0)][:2].any()
