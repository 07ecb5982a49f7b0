"""Public reports of special signals: each kind is found, each fault told by the right channel, all else silent."""

from __future__ import annotations

import numpy as np
import pytest
from field_cases import FieldCase, field_case

from detectors.channels.special import SPECIAL_NAMES
from detectors.channels.special_signals import SpecialSignals, SpecialSignalsParameters
from detectors.detector import Scores
from detectors.knowledge import Knowledge
from detectors.signal_kind import KINDS, kind_of

MINUTE = 60 * 10**9


def judged(case: FieldCase) -> tuple[SpecialSignals, Scores]:
    detector = SpecialSignals(SpecialSignalsParameters(time_zone="Europe/Berlin"))
    detector.grow(1)
    count = len(case.time)
    return detector, detector.step(np.zeros(count, np.int32), case.time, case.value, np.ones(count, np.bool_))


def kind(detector: SpecialSignals) -> str:
    return KINDS[kind_of(detector.records[""][0].kind)]


def stretches(loud: np.ndarray) -> int:
    """Runs of loud readings that ten quiet ones part."""
    places = np.flatnonzero(loud)
    return int((np.diff(places, prepend=-100) > 10).sum())


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        (40, "kwh-total-plain", "counter"),
        (40, "kwh-total-reset", "counter"),
        (41, "kwh-today", "daily_total"),
        (42, "door", "state"),
        (43, "pump", "state"),
        (44, "cellar", "measurement"),
        (46, "river-level", "sparse"),
        (47, "room", "report_on_change"),
        (48, "flow", "measurement"),
        (52, "half-degree", "measurement"),
        (56, "requests", "measurement"),
        (58, "linkquality", "measurement"),
        (59, "wind-direction", "angle"),
        (61, "pressure", "measurement"),
    ],
)
def test_the_kind_is_found(number: int, name: str, expected: str) -> None:
    assert kind(judged(field_case(number, name))[0]) == expected


@pytest.mark.parametrize(
    ("number", "name", "alarm", "channel"),
    [
        (40, "kwh-total-reset", 0, "reset"),
        (40, "kwh-total-steeper", 0, "fast"),
        (42, "door", 0, "odd_hour"),
        (42, "door", 1, "long_visit"),
        (43, "pump", 0, "long_visit"),
        (43, "pump", 1, "long_visit"),
        (44, "cellar-one-85", 0, "error_code"),
        (52, "fine-then-frozen", 0, "stuck"),
        (61, "pressure", 0, "stuck"),
    ],
)
def test_the_fault_is_told_by_the_right_channel(number: int, name: str, alarm: int, channel: str) -> None:
    case = field_case(number, name)
    scores = judged(case)[1]
    first = np.flatnonzero(case.within(alarm) & (scores.score >= case.budget))
    assert len(first)
    assert scores.channel is not None
    assert SPECIAL_NAMES[scores.channel[first[0]]] == channel


@pytest.mark.parametrize(
    ("number", "name", "allowed"),
    [
        (40, "kwh-total-plain", 0),
        (40, "kwh-total-reset", 0),
        (41, "kwh-today", 0),
        (42, "door", 1),
        (43, "pump", 0),
        (44, "cellar-clean", 0),
        (46, "river-level", 0),
        (47, "room", 0),
        (48, "flow", 1),
        (52, "half-degree", 0),
        (52, "fine-then-frozen", 0),
        (54, "p95", 0),
        (56, "requests", 0),
        (58, "linkquality", 0),
        (59, "wind-direction", 0),
    ],
)
def test_all_else_is_silent(number: int, name: str, allowed: int) -> None:
    case = field_case(number, name)
    loud = (judged(case)[1].score >= case.budget) & case.elsewhere()
    assert stretches(loud) <= allowed


def test_a_frozen_sensor_is_told_for_as_long_as_it_is_frozen() -> None:
    case = field_case(61, "pressure")
    score = judged(case)[1].score
    frozen = np.flatnonzero(case.within(0))[0]
    assert (score[frozen + 10 :] >= case.budget).all()


def test_every_error_value_of_the_cellar_is_told_and_no_other_reading() -> None:
    case = field_case(44, "cellar")
    scores = judged(case)[1]
    codes = np.isin(case.value, [85.0, -127.0])
    assert codes.sum() == 24
    assert scores.channel is not None
    np.testing.assert_array_equal(scores.channel == SPECIAL_NAMES.index("error_code"), codes)


def test_a_door_left_open_is_told_before_anybody_closes_it() -> None:
    case = field_case(42, "door")
    detector = SpecialSignals(SpecialSignalsParameters(time_zone="Europe/Berlin"))
    detector.grow(1)
    opened = int(np.flatnonzero(case.within(1))[0])
    rows = slice(0, opened + 1)
    slot = np.zeros(opened + 1, np.int32)
    detector.step(slot, case.time[rows], case.value[rows], np.ones(opened + 1, np.bool_))
    after = [detector.overdue(slot[:1], int(case.time[opened]) + minutes * MINUTE)[0] for minutes in (1, 15, 60, 240)]
    assert after[0] < 1.0
    assert after[2] >= case.budget
    assert after == sorted(after)


def test_a_kind_that_a_person_gave_decides() -> None:
    detector = SpecialSignals(SpecialSignalsParameters())
    detector.grow(1)
    detector.describe(0, Knowledge(kind="battery"))
    value = np.full(500, 80.0)
    value[:100] = np.random.default_rng(1).normal(80, 1, 100)
    time = np.arange(500) * MINUTE
    scores = detector.step(np.zeros(500, np.int32), time, value, np.ones(500, np.bool_))
    assert np.nanmax(scores.score) == 0.0, "a battery may stand still"
    assert detector.evidence(0) == "given"
