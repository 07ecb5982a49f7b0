import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from detectors.detector import Scores
from detectors.holt_winters import HoltWinters, HoltWintersParameters

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
START = 1_700_000_000 * SECOND


def make(**parameters: object) -> HoltWinters:
    detector = HoltWinters(HoltWintersParameters.model_validate(parameters))
    detector.grow(1)
    return detector


def step(detector: HoltWinters, time: NDArray[np.int64], value: NDArray[np.float64]) -> Scores:
    count = len(value)
    return detector.step(np.zeros(count, np.int32), time, value, np.ones(count, bool))


def clock(days: float, seconds: int) -> NDArray[np.int64]:
    return START + np.arange(int(days * 86_400 / seconds), dtype=np.int64) * seconds * SECOND


def daily(time: NDArray[np.int64], noise: float = 0.5, seed: int = 0) -> NDArray[np.float64]:
    angle = 2 * np.pi * (time % DAY) / DAY
    rng = np.random.default_rng(seed)
    return 20 + 4 * np.sin(angle) + 2 * np.cos(2 * angle) + rng.normal(0, noise, len(time))


@pytest.mark.parametrize(("seconds", "days"), [(60, 8), (300, 6), (1800, 8), (3600, 14)])
def test_a_daily_season_is_found_at_any_sampling(seconds: int, days: int) -> None:
    detector = make()
    time = clock(days, seconds)
    value = daily(time)
    scores = step(detector, time, value)
    assert detector.periods().tolist() == [DAY]
    late = len(time) - 86_400 // seconds
    assert np.std(value[late:] - scores.expected[late:]) < 0.7


def test_a_season_off_the_calendar_is_found_closely() -> None:
    detector = make()
    time = clock(3, 60)
    period = 47.3 * 60 * SECOND
    value = np.sin(2 * np.pi * (time - START) / period) + np.random.default_rng(1).normal(0, 0.1, len(time))
    step(detector, time, value)
    assert detector.periods()[0] == pytest.approx(period, rel=0.005)


def test_gaps_and_jitter_do_not_hide_the_season() -> None:
    rng = np.random.default_rng(2)
    time = clock(12, 300)
    time += rng.integers(0, 120 * SECOND, len(time))
    kept = rng.random(len(time)) > 0.2
    kept[1500:1650] = False
    detector = make()
    step(detector, time[kept], daily(time[kept]))
    assert detector.periods().tolist() == [DAY]


@pytest.mark.parametrize("seed", range(5))
def test_no_season_is_found_where_there_is_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time = clock(6, 60)
    for value in (
        rng.normal(0, 1, len(time)),
        np.cumsum(rng.normal(0, 1, len(time))),
        np.arange(len(time), dtype=np.float64) * 0.5,
    ):
        detector = make()
        for start in range(0, len(time), 500):
            step(detector, time[start : start + 500], value[start : start + 500])
            assert detector.periods().tolist() == [0]


def test_a_season_that_ends_is_dropped() -> None:
    detector = make()
    time = clock(40, 1800)
    value = daily(time)
    value[960:] = 20 + np.random.default_rng(3).normal(0, 0.5, len(time) - 960)
    step(detector, time[:960], value[:960])
    assert detector.periods().tolist() == [DAY]
    step(detector, time[960:], value[960:])
    assert detector.periods().tolist() == [0]


@pytest.mark.parametrize("season", ["auto", "24h", 48])
def test_the_season_makes_the_difference(season: str | int) -> None:
    time = clock(20, 1800)
    value = daily(time, noise=0.3)
    # At the daily high a reading as at the daily low: nothing unusual to one that knows no season.
    odd = 900 + int(np.argmax(value[900:948]))
    value[odd] = value[900:948].min()
    seasonal, plain = step(make(season=season), time, value), step(make(season="none"), time, value)
    assert seasonal.score[odd] == 12
    assert plain.score[odd] < 8
    late = slice(700, 900)
    assert np.std(value[late] - seasonal.expected[late]) < 0.5 * np.std(value[late] - plain.expected[late])
    assert np.mean(seasonal.score[late] > 4) == 0


def test_a_given_duration_bridges_gaps_that_counting_would_not() -> None:
    time = clock(16, 1800)
    kept = np.ones(len(time), bool)
    kept[500:517] = False
    value = daily(time, noise=0.3)
    by_time, by_count = make(season="24h"), make(season=48)
    late = slice(540, 700)
    forecast = step(by_time, time[kept], value[kept]).expected[late]
    counted = step(by_count, time[kept], value[kept]).expected[late]
    truth = value[kept][late]
    assert np.std(truth - forecast) < 0.6
    assert np.std(truth - counted) > 0.6


def test_knots_between_readings_are_filled() -> None:
    time = clock(10, 3600)
    value = daily(time, noise=0.1)
    scores = step(make(season="1d", knots=96), time, value)
    assert np.std(value[-48:] - scores.expected[-48:]) < 0.4


@pytest.mark.parametrize("season", ["none", "auto", 24])
def test_a_spike_scores_high_and_leaves_no_trace(season: str | int) -> None:
    time = clock(10, 3600)
    value = daily(time, noise=0.5) if season == 24 else 20 + np.random.default_rng(4).normal(0, 0.5, len(time))
    spiked = value.copy()
    spiked[150] += 500
    scores, undisturbed = step(make(season=season), time, spiked), step(make(season=season), time, value)
    assert scores.score[150] == 12
    assert np.abs(scores.expected[151:] - undisturbed.expected[151:]).max() < 0.5
    assert (scores.score[151:] < 5).all()


@pytest.mark.parametrize("season", ["none", 24])
def test_a_level_shift_is_one_burst_and_then_learned(season: str | int) -> None:
    time = clock(20, 3600)
    value = daily(time, noise=0.5) if season == 24 else 20 + np.random.default_rng(5).normal(0, 0.5, len(time))
    value[240:] += 40
    scores = step(make(season=season, relearn_after=20), time, value)
    assert (scores.score[240:250] > 5).all()
    assert (scores.score[262:] < 5).all()
    assert np.abs(scores.expected - value)[300:].mean() < 1


def test_a_fault_shorter_than_the_set_time_does_not_alarm_on_recovery() -> None:
    time = clock(20, 3600)
    value = 20 + np.random.default_rng(6).normal(0, 0.5, len(time))
    value[240:260] += 40
    score = step(make(season="none", relearn_after=30), time, value).score
    assert (score[240:260] > 8).all()
    assert (score[260:] < 4).all()


def test_a_trend_is_followed() -> None:
    time = clock(20, 3600)
    value = 0.5 * np.arange(len(time)) + np.random.default_rng(7).normal(0, 0.5, len(time))
    scores = step(make(), time, value)
    assert np.abs(scores.expected - value)[200:].mean() < 1
    assert np.mean(scores.score[200:] > 4) == 0


def test_zeros_from_the_start_are_no_trouble() -> None:
    time = clock(20, 3600)
    value = np.zeros(len(time))
    value[300:] = daily(time[300:])
    scores = step(make(season=24), time, value)
    assert (scores.score[30:300] == 0).all()
    assert np.isfinite(scores.score[300:]).all()
    assert (scores.score[400:] < 6).all()


def test_a_clock_that_stands_still_finds_no_season() -> None:
    detector = make()
    scores = step(detector, np.full(2000, START), daily(clock(7, 300)[:2000]))
    assert detector.periods().tolist() == [0]
    assert np.isfinite(scores.score[30:]).all()


@pytest.mark.parametrize("season", ["daily", "24", "0s", "-1h", 1, 10**9, "999999w"])
def test_a_season_that_makes_no_sense_is_refused(season: str | int) -> None:
    with pytest.raises(ValidationError, match="expected"):
        make(season=season)
