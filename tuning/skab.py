"""The Skoltech Anomaly Benchmark: eight channels of a water loop with faults made on purpose.

Scored as its outlier leaderboard does: every row of every labelled file after the warm-up, all in one confusion table.
Source: Katser and Kozitsin, Skoltech Anomaly Benchmark (SKAB), 2020.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuning.recordings import RecordingError
from tuning.runs import Job, Outcome

WARMUP = 400
"""Rows of each file that are free of faults and do not count."""
LABEL, CHANGE = "anomaly", "changepoint"

LEADERBOARD = (
    ("convolutional autoencoder", 0.78),
    ("MSET", 0.78),
    ("T2 and Q on principal components", 0.76),
    ("isolation forest", 0.29),
)
"""Published F1. Flagging every row gives 0.70."""


@dataclass(frozen=True, slots=True)
class SkabScore:
    """Counts of rows."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        found = 2 * self.true_positives
        total = found + self.false_positives + self.false_negatives
        return found / total if total else np.nan

    @property
    def false_alarm_rate(self) -> float:
        """Share of normal rows that are flagged."""
        normal = self.false_positives + self.true_negatives
        return self.false_positives / normal if normal else np.nan

    @property
    def missed_alarm_rate(self) -> float:
        """Share of faulty rows that are not flagged."""
        faulty = self.true_positives + self.false_negatives
        return self.false_negatives / faulty if faulty else np.nan


def jobs(corpus: Path, output: Path) -> list[Job]:
    """What to score: every CSV that holds labels."""
    found = []
    for path in sorted(corpus.glob("*/*.csv")):
        with path.open(encoding="utf-8") as file:
            if LABEL in file.readline().strip().split(";"):
                name = str(path.relative_to(corpus))
                found.append(Job(name, path, output / name, ignore=(LABEL, CHANGE)))
    if not found:
        raise RecordingError(
            f"{corpus}: no CSV with a column {LABEL!r} in its folders; expected a copy of the benchmark"
        )
    return found


def labels(path: Path) -> NDArray[np.bool_]:
    """Which rows of a file are faulty, (n,)."""
    with path.open(newline="", encoding="utf-8") as file:
        return np.array([float(row[LABEL]) > 0.0 for row in csv.DictReader(file, delimiter=";")], np.bool_)


def score(outcomes: Mapping[str, Outcome], labelled: Mapping[str, NDArray[np.bool_]]) -> SkabScore:
    """The confusion table of the `anomaly` verdicts over all files, warm-up left out."""
    said = np.concatenate([outcomes[name].anomaly[WARMUP:] for name in labelled])
    faulty = np.concatenate([labelled[name][WARMUP:] for name in labelled])
    return SkabScore(
        int(np.count_nonzero(said & faulty)),
        int(np.count_nonzero(said & ~faulty)),
        int(np.count_nonzero(~said & faulty)),
        int(np.count_nonzero(~said & ~faulty)),
    )
