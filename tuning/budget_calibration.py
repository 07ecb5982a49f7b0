"""How many alarms a person really gets for the budget set, on series where every alarm is false."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from tuning.backtest import Plan, score_columns
from tuning.corpora import Card
from tuning.synthetic import DAY, MINUTE, NORMAL, times

SERIES = 16
"""Series of each kind."""
ROWS, WARMUP = 49 * DAY, 7 * DAY
"""Readings of each, and how many of them, from the first on, do not count: seven weeks and one."""


@dataclass(frozen=True, slots=True)
class Realised:
    """Alarms on `series` series of a kind, and how many the budget allows over the same time."""

    kind: str
    series: int
    alarms: int
    allowed: float

    @property
    def ratio(self) -> float:
        """Alarms for each that is allowed."""
        return self.alarms / self.allowed


def series_count() -> int:
    """How many series a calibration scores."""
    return SERIES * len(NORMAL)


def calibrate(
    plan: Plan, *, workers: int | None = None, done: Callable[[object], None] = lambda _: None
) -> list[Realised]:
    """Count alarms by kind of series. `done` is called after each series."""
    workers = workers or os.cpu_count() or 1
    opened = dict.fromkeys(NORMAL, 0)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        kind_of = {pool.submit(alarms_on, plan, kind, seed): kind for seed in range(SERIES) for kind in NORMAL}
        for future in as_completed(kind_of):
            opened[kind_of[future]] += future.result()
            done(future)
    allowed = SERIES * (ROWS - WARMUP) * MINUTE * 1e-9 * plan.alarm.budget_per_second
    return [Realised(kind, SERIES, alarms, allowed) for kind, alarms in opened.items()]


def alarms_on(plan: Plan, kind: str, seed: int, rows: int = ROWS, warmup: int = WARMUP) -> int:
    """Alarms that open after the warm-up on one made series without faults."""
    random = np.random.default_rng([seed, *kind.encode()])
    values = NORMAL[kind](rows, random)
    track = score_columns(plan, kind, ["value"], times(rows), values[:, None])
    return int(np.count_nonzero(track.openings >= warmup))


def card_of(results: Sequence[Realised]) -> Card:
    """The table: a ratio of 1 is what was asked for."""
    return Card(
        "Alarms on normal series against the budget, after a week of warm-up",
        ["series of kind", "series", "allowed", "alarms", "ratio"],
        [[r.kind, r.series, round(r.allowed, 1), r.alarms, round(r.ratio, 2)] for r in results],
    )
