"""Kinds of signal: what is found, when, from which evidence; that it does not flap; that a given kind wins."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from detectors import signal_kind
from detectors.knowledge import Kind
from detectors.record_detector import new_records
from detectors.signal_kind import KINDS, LAYOUT, UNKNOWN, give_kind, kind_evidence, kind_step

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_767_571_200 * 10**9


def fresh() -> Any:
    return new_records(LAYOUT, 1)


@numba.njit  # type: ignore[untyped-decorator]  # not cached: the cache would not see a change in what it calls
def _feed(records: Any, time: np.ndarray, value: np.ndarray, kinds: np.ndarray) -> None:
    for i in range(len(time)):
        kinds[i] = kind_step(records[0], time[i], value[i], True)


def found(records: Any, time: np.ndarray, value: np.ndarray) -> list[str]:
    """The kinds in the order in which they were found, without `UNKNOWN`."""
    kinds = np.zeros(len(time), np.int64)
    _feed(records, np.asarray(time, np.int64), np.asarray(value, float), kinds)
    changes = kinds[np.flatnonzero(np.diff(kinds, prepend=UNKNOWN))]
    return [KINDS[kind] for kind in changes if kind != UNKNOWN]


def each(step: int, count: int) -> np.ndarray:
    return START + np.arange(count) * step


rng = np.random.default_rng(1)
CLIMB = 100 + np.cumsum(rng.poisson(3, 4000))
SIGNALS: dict[str, tuple[np.ndarray, np.ndarray, list[str]]] = {
    "temperature": (each(MINUTE, 5000), 20 + rng.normal(0, 0.2, 5000), ["measurement"]),
    "half degrees": (
        each(5 * MINUTE, 6000),
        np.round(2 * (20 + 3 * np.sin(np.arange(6000) / 288 * 2 * np.pi) + rng.normal(0, 0.1, 6000))) / 2,
        ["measurement"],
    ),
    "energy": (each(5 * MINUTE, 4000), CLIMB, ["measurement", "counter"]),
    "energy that began anew": (
        each(5 * MINUTE, 4000),
        np.where(np.arange(4000) < 2000, CLIMB, CLIMB - CLIMB[2000]),
        ["measurement", "counter"],
    ),
    "today's energy": (
        each(5 * MINUTE, 4000),
        CLIMB - CLIMB[np.arange(4000) // 288 * 288],
        ["measurement", "counter", "daily_total"],
    ),
    "pump": (each(MINUTE, 3000), np.arange(3000) // 20 % 2, ["state"]),
    "mode": (each(MINUTE, 3000), np.array([0, 2, 1, 3])[np.arange(3000) // 45 % 4], ["measurement", "state"]),
    "contact": (START + np.cumsum(rng.exponential(600, 600) * 10**9).astype(np.int64), np.arange(600) % 2, ["state"]),
    "sent on change": (
        START + np.cumsum(rng.lognormal(5, 1.2, 3000) * 10**9).astype(np.int64),
        20 + np.cumsum(rng.choice([-0.1, 0.1], 3000)),
        ["report_on_change"],
    ),
    "battery": (
        each(10 * MINUTE, 6000),
        np.round(95 - np.arange(6000) / 150),
        ["measurement", "battery"],
    ),
    "wind": (each(MINUTE, 5000), rng.normal(0, 15, 5000).round() % 360, ["measurement", "angle"]),
    "wind in radians": (each(MINUTE, 5000), rng.normal(0, 0.3, 5000) % (2 * np.pi), ["measurement", "angle"]),
    "rain": (
        each(5 * MINUTE, 6000),
        np.where(rng.random(6000) < 0.05, rng.gamma(2, 1, 6000), 0.0),
        ["measurement", "bursts"],
    ),
    "four a day": (each(6 * HOUR, 200), 2 + rng.normal(0, 0.1, 200), ["sparse"]),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_each_kind_is_found_and_kept(name: str) -> None:
    time, value, expected = SIGNALS[name]
    kinds = found(fresh(), time, value)
    assert kinds[-1] == expected[-1]
    assert kinds == expected[-len(kinds) :]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("energy", "only ever climbs"),
        ("energy that began anew", "climbs; began anew 1 times"),
        ("pump", "takes the values 0, 1"),
        ("four a day", "a reading about every 6 h"),
        ("temperature", ""),
    ],
)
def test_the_evidence_can_be_read(name: str, words: str) -> None:
    state = fresh()
    found(state, *SIGNALS[name][:2])
    assert kind_evidence(state[0]) == words


@pytest.mark.parametrize("seed", range(5))
def test_a_smooth_rise_of_half_a_day_is_no_counter(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.05, 2880)
    value = np.round(15 + 8 * np.sin(np.arange(2880) / 1440 * 2 * np.pi) + noise, 1)
    assert found(fresh(), each(MINUTE, 2880), value) == ["measurement"]


def test_a_constant_is_of_no_kind() -> None:
    assert found(fresh(), each(MINUTE, 3000), np.full(3000, 5.0)) == []


def test_a_fault_does_not_change_the_kind() -> None:
    time, value, _ = SIGNALS["temperature"]
    broken = value.copy()
    broken[3000:3120] = 0.0
    assert found(fresh(), time, broken) == ["measurement"]


def test_a_given_kind_wins_and_can_be_taken_back() -> None:
    state = fresh()
    time, value, _ = SIGNALS["temperature"]
    kind: Kind = "counter"
    give_kind(state[0], kind)
    assert found(state, time, value) == ["counter"]
    assert kind_evidence(state[0]) == "given"
    give_kind(state[0], None)
    assert KINDS[signal_kind.kind_of(state[0])] == "measurement"


def test_scoring_alone_learns_nothing() -> None:
    state = fresh()
    assert kind_step(state[0], START, 1.0, False) == UNKNOWN
    assert not state.signal.any()
    assert not state.values.any()
