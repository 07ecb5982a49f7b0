"""The UCR anomaly archive: series with one anomaly each, and whether the highest score lies on it.

Source: Wu and Keogh, Current Time Series Anomaly Detection Benchmarks are Flawed, IEEE TKDE 2021.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuning.recordings import RecordingError
from tuning.runs import Job, Outcome

TOLERANCE = 100
"""Rows on either side of the label within which the highest score is a hit."""

LEADERBOARD = (
    ("left nearest neighbour, window from the training part", 0.63),
    ("rolling z-score", 0.08),
    ("value novelty", 0.07),
)
"""Share of hits of simple methods on 199 series of the archive, measured; there is no one published table."""


@dataclass(frozen=True, slots=True)
class Label:
    """Where a series' anomaly lies: rows, the last included; rows before `train_end` are free of it."""

    name: str
    train_end: int
    start: int
    end: int
    length: int


@dataclass(frozen=True, slots=True)
class UcrHit:
    """Where a series' highest score after its training part is, and whether that is on the label."""

    label: Label
    row: int
    hit: bool


def labels(corpus: Path) -> list[Label]:
    """The labels of `index.csv` (name, train_end, anomaly_start, anomaly_end, length)."""
    path = corpus / "index.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Label(
                    row["name"],
                    int(row["train_end"]),
                    int(row["anomaly_start"]),
                    int(row["anomaly_end"]),
                    int(row["length"]),
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError) as error:
        expected = "expected columns name, train_end, anomaly_start, anomaly_end, length"
        raise RecordingError(f"{path}: cannot be read: {error}; {expected}") from error


def jobs(corpus: Path, output: Path) -> list[Job]:
    """What to score: NAME.csv.gz or NAME.csv for each name of the index."""
    found = []
    for label in labels(corpus):
        packed = corpus / f"{label.name}.csv.gz"
        path = packed if packed.is_file() else corpus / f"{label.name}.csv"
        found.append(Job(label.name, path, output / f"{label.name}.csv", value_columns=("value",)))
    return found


def score(outcomes: Mapping[str, Outcome], labelled: Sequence[Label]) -> list[UcrHit]:
    """Whether each series' highest score lies on its anomaly; a tie does where all of it does.

    Raises RecordingError where a result is not as long as its series.
    """
    hits = []
    for label in labelled:
        scores = outcomes[label.name].score
        if len(scores) != label.length:
            raise RecordingError(f"{label.name}: {len(scores)} rows; expected {label.length}, as the index has it")
        tail = scores[label.train_end :]
        highest = np.flatnonzero(tail == tail.max()) + label.train_end
        on_it = (highest >= label.start - TOLERANCE) & (highest <= label.end + TOLERANCE)
        hits.append(UcrHit(label, int(highest[0]), bool(on_it.all())))
    return hits
