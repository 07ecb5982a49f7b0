"""Points to store: scored series of known values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from devices.batch import ScoredBatch
from storage.embedded.database import EmbeddedStore
from storage.store import StepOutput

SECOND = 10**9
NOW = 1_700_000_000 * SECOND


def scored(series: np.ndarray, time: np.ndarray, value: np.ndarray, anomaly: np.ndarray | None = None) -> ScoredBatch:
    n = len(series)
    return ScoredBatch(
        series.astype(np.int32),
        time.astype(np.int64),
        value.astype(np.float64),
        np.full(n, 0.123456),
        value + 0.5,
        value - 2.0,
        value + 3.0,
        np.zeros(n, np.bool_) if anomaly is None else anomaly,
        np.zeros(n, np.bool_),
    )


def regular(series: int, n: int, *, start: int = NOW, anomalies: tuple[int, ...] = ()) -> ScoredBatch:
    value = np.sin(np.arange(n) / 50) + np.random.default_rng(series + 1).normal(size=n)
    anomaly = np.isin(np.arange(n), anomalies)
    return scored(np.full(n, series), start + np.arange(n) * SECOND, value, anomaly)


def put(store: EmbeddedStore, points: ScoredBatch, **more: object) -> None:
    store.commit(StepOutput(store.position, store.position + 1, points, **more))  # type: ignore[arg-type]


def one_sided(count: int) -> ScoredBatch:
    """Bands that are two-sided, one-sided and absent by turns."""
    batch = regular(0, count)
    turn = np.arange(count) % 4
    lower = np.where((turn == 1) | (turn == 3), np.nan, 10.0)
    upper = np.where((turn == 2) | (turn == 3), np.nan, 20.0)
    return replace(batch, expected=np.full(count, 12.0), lower=lower, upper=upper)
