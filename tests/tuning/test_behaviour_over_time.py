"""What the shipped default and the alarm policy promise over time, over made sensors of any noise, fault and gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from alerts.alarm_settings import AlarmSettings
from alerts.policy import AlarmPolicy
from alerts.policy_kernels import OPENED
from detectors.detector_registry import create

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_750_000_000 * SECOND
SERIES = 24

few = settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.generate])
"""Each example is a fleet: there are few, and none is made smaller for the sake of a shorter one."""
seeds = st.integers(0, 1_000)
scales = st.sampled_from([1e-3, 1.0, 1e4])


def noise(rows: int, seed: int, scale: float = 1.0) -> np.ndarray:
    """Readings (rows, SERIES): each series has a level of its own, and normal noise of size `scale`."""
    random = np.random.default_rng(seed)
    return scale * (random.uniform(-50, 50, SERIES) + random.normal(size=(rows, SERIES)))


class Judged:
    """What the detector's defaults and the default budget make of readings (rows, series); arrays of that shape."""

    def __init__(self, values: np.ndarray, time: np.ndarray | None = None, name: str = "ensemble") -> None:
        rows, series = values.shape
        detector, policy = create(name, {}), AlarmPolicy(AlarmSettings())
        detector.grow(series)
        policy.grow(series)
        slot = np.tile(np.arange(series, dtype=np.int32), rows)
        at = np.repeat(START + np.arange(rows) * MINUTE if time is None else time, series)
        scores = detector.step(slot, at, values.ravel(), np.ones(values.size, np.bool_))
        verdicts = policy.step(slot, at, scores.score)
        self.anomaly = verdicts.anomaly.reshape(values.shape)
        self.opened = (verdicts.event == OPENED).reshape(values.shape)
        self.expected = scores.expected.reshape(values.shape)
        self.width = (scores.upper - scores.lower).reshape(values.shape)


@few
@given(seed=seeds, scale=scales, size=st.floats(16, 1e6), length=st.integers(1, 40))
def test_a_fault_does_not_poison_what_is_normal(seed: int, scale: float, size: float, length: int) -> None:
    values = noise(4_000, seed, scale)
    faulty = values.copy()
    faulty[2_500 : 2_500 + length] += size * scale
    without, with_fault = Judged(values), Judged(faulty)
    assert with_fault.anomaly[2_500:2_503].any(axis=0).mean() > 0.95
    after = slice(2_600, None)
    assert with_fault.opened[after].sum() <= without.opened[after].sum() + 0.1 * SERIES
    assert np.abs(with_fault.expected - without.expected)[after].max() < 5 * scale
    assert np.median((with_fault.width / without.width)[after]) < 1.5


@few
@given(seed=seeds, scale=scales, size=st.floats(8, 100))
def test_a_level_shift_that_stays_is_one_alarm_and_then_learned(seed: int, scale: float, size: float) -> None:
    values = noise(5_000, seed, scale)
    shifted = values.copy()
    shifted[3_000:] += size * scale
    without, with_shift = Judged(values), Judged(shifted)
    assert with_shift.anomaly[3_000:3_004].any(axis=0).mean() > 0.95
    assert with_shift.opened[3_004:].sum() <= without.opened[3_004:].sum() + 0.1 * SERIES
    # A shift of some ten times the noise might still be an outlier that stays: it is learned in twice the time.
    late = slice(4_400 if size < 14 else 3_600, None)
    assert np.abs(with_shift.expected - shifted)[late].mean() < 1.1 * np.abs(without.expected - values)[late].mean()


@few
@given(seed=seeds, scale=scales, size=st.floats(8, 100), length=st.integers(2, 100))
def test_the_return_to_the_old_normal_does_not_alarm(seed: int, scale: float, size: float, length: int) -> None:
    values = noise(3_600, seed, scale)
    faulty = values.copy()
    faulty[3_000 : 3_000 + length] += size * scale
    with_fault = Judged(faulty)
    assert with_fault.anomaly[3_000:3_004].any(axis=0).mean() > 0.95
    back = slice(3_000 + length, 3_000 + length + 300)
    assert with_fault.opened[back].sum() <= Judged(values).opened[back].sum() + 0.1 * SERIES


@given(
    rest=st.integers(0, 200), clear_after=st.integers(1, 100), apart=st.integers(1, 400), height=st.floats(6.0, 12.0)
)
def test_what_recurs_within_the_rest_belongs_to_one_alarm(
    rest: int, clear_after: int, apart: int, height: float
) -> None:
    # In readings, as the version before had it: `rest` is read as `cooldown`.
    chosen = AlarmSettings.model_validate({"threshold": 5.0, "rest": rest, "clear_after": clear_after})
    policy = AlarmPolicy(chosen)
    policy.grow(1)
    score = np.zeros(600)
    score[[100, 100 + apart]] = height
    verdicts = policy.step(np.zeros(600, np.int32), START + np.arange(600) * MINUTE, score)
    # The alarm clears at reading `clear_after` behind the first, and the rest lasts `rest` readings from there.
    one = apart <= clear_after + rest
    assert (verdicts.event == OPENED).sum() == (1 if one else 2)


@pytest.mark.parametrize("name", ["ensemble", "zscore", "holt_winters", "forecast", "seasonal"])
@settings(few, max_examples=3)
@given(seed=seeds, minutes=st.integers(2, 60 * 24 * 30))
def test_recovery_from_an_outage_does_not_alarm(name: str, seed: int, minutes: int) -> None:
    values = noise(3_000, seed)
    time = START + np.arange(3_000) * MINUTE
    outage = time + np.where(np.arange(3_000) >= 2_000, minutes * MINUTE, 0)
    after = slice(2_000, 2_100)
    with_outage, without = Judged(values, outage, name), Judged(values, time, name)
    assert with_outage.opened[after].sum() <= without.opened[after].sum() + 0.1 * SERIES


@few
@given(seed=seeds, learned=st.integers(1, 80))
def test_warming_counts_what_each_series_has_learned(seed: int, learned: int) -> None:
    detector = create("ensemble", {})
    detector.grow(2)
    values = noise(learned, seed)[:, 0]
    values[::7] = np.nan
    slot = np.ones(learned, np.int32)
    scores = detector.step(slot, START + np.arange(learned) * MINUTE, values, np.ones(learned, np.bool_))
    have, need = detector.warming()
    finite = int(np.isfinite(values).sum())
    assert have.tolist() == [0, finite]
    assert np.isfinite(scores.score).sum() == max(0, finite - int(need[1]))
