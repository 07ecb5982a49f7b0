"""Many recordings backtested, one process a core."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuning.backtest import Plan, score_recording
from tuning.recordings import open_recording
from tuning.results import write_track

EVERY = 60_000_000_000
"""Nanoseconds between the rows of a recording without times."""


@dataclass(frozen=True, slots=True)
class Job:
    """One recording to score: where it is, which columns to take, where its result goes."""

    name: str
    path: Path
    output: Path
    time_column: str | None = None
    value_columns: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job: columns of its n rows, and `openings`, the rows at which an alarm opened.

    `time` int64 ns, `score` float64 (finite), `anomaly` bool, all (n,). `readings` is how many cells held a number,
    `late` how many rows came behind their channels' newest, `timed` whether the file holds times, `seconds` the
    processor time that scoring took, reading and writing included.
    """

    name: str
    time: NDArray[np.int64]
    score: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    openings: NDArray[np.intp]
    readings: int
    late: int
    timed: bool
    seconds: float


def run(plan: Plan, job: Job) -> Outcome:
    """Score one recording and write its result. Raises RecordingError, OSError."""
    started = time.process_time()
    recording = open_recording(
        job.path, time_column=job.time_column, value_columns=job.value_columns, ignore=job.ignore, every=EVERY
    )
    track = score_recording(plan, recording)
    write_track(track, job.output)
    return Outcome(
        job.name,
        track.time,
        track.anomaly_score,
        track.device_anomaly,
        track.openings,
        int(np.isfinite(track.value).sum()),
        int(track.late.sum()),
        bool(recording.time_column),
        time.process_time() - started,
    )


def run_all(
    plan: Plan, jobs: Sequence[Job], *, workers: int | None = None, done: Callable[[Outcome], None] = lambda _: None
) -> dict[str, Outcome]:
    """Score all recordings, largest files first; returns the outcomes by name, in the order of the jobs.

    `done` is called after each. With one worker, or one job, everything runs in this process. Raises what `run` raises.
    """
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    largest_first = sorted(jobs, key=lambda job: -job.path.stat().st_size)
    outcomes: dict[str, Outcome] = {}
    if workers <= 1:
        for job in largest_first:
            outcomes[job.name] = run(plan, job)
            done(outcomes[job.name])
    else:
        # Started anew rather than forked: a fork would take over the progress display's thread and its locks.
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            waiting = [pool.submit(run, plan, job) for job in largest_first]
            try:
                for future in as_completed(waiting):
                    outcome = future.result()
                    outcomes[outcome.name] = outcome
                    done(outcome)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return {job.name: outcomes[job.name] for job in jobs}
