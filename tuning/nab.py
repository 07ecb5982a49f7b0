"""The Numenta Anomaly Benchmark: its files, and its scoring, version 1.1.

A detector gives each row a score; rows at or above one threshold, the same for all files, are detections. Within a
labelled window the first detection counts, the more the earlier; a window without one costs; each detection outside
costs, little just after a window, fully further away. A file's first rows do not count. The sum is scaled so that no
detections give 0 and perfect ones 100. Source: Lavin and Ahmad, Evaluating Real-time Anomaly Detection Algorithms,
ICMLA 2015, and the benchmark's technical report on scoring.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from devices.times import parse_time
from tuning.recordings import RecordingError
from tuning.runs import Job, Outcome


@dataclass(frozen=True, slots=True)
class Profile:
    """What a found window earns, a false detection costs, a missed window costs."""

    name: str
    found: float
    false: float
    missed: float


PROFILES = (
    Profile("standard", 1.0, 0.11, 1.0),
    Profile("low FP", 1.0, 0.22, 1.0),
    Profile("low FN", 1.0, 0.11, 2.0),
)

LEADERBOARD = (
    ("ARTime", 74.9, 65.1, 80.4),
    ("Numenta HTM", 70.1, 63.1, 74.3),
    ("CAD OSE", 69.9, 67.0, 73.2),
    ("earthgecko Skyline", 58.2, 46.2, 63.9),
    ("KNN CAD", 58.0, 43.4, 64.8),
    ("Relative Entropy", 54.6, 47.6, 58.8),
    ("AWS Random Cut Forest", 51.7, 38.4, 59.7),
    ("Windowed Gaussian", 39.6, 20.9, 47.4),
)
"""Published scores under the three profiles. Some of these detectors read a file's range or length first."""

_PROBATION_SHARE, _PROBATION_ROWS = 0.15, 5000


@dataclass(frozen=True, slots=True)
class NabScore:
    """A score under one profile: `threshold` is the one it holds at."""

    profile: str
    score: float
    threshold: float


@dataclass(frozen=True, slots=True)
class NabAlarms:
    """Alarms at the configured budget: windows in which one opens, of how many; alarms outside windows, of `files`."""

    found: int
    windows: int
    outside: int
    files: int

    @property
    def share(self) -> float:
        """Share of windows in which an alarm opens."""
        return self.found / self.windows if self.windows else np.nan

    @property
    def outside_per_file(self) -> float:
        """Alarms that open outside windows, per file."""
        return self.outside / self.files


def jobs(corpus: Path, output: Path, names: Collection[str] | None = None) -> list[Job]:
    """What to score: the files that the labels name, `category/file.csv`, or those of them in `names`."""
    chosen = [name for name in _labels(corpus) if names is None or name in names]
    return [Job(name, corpus / "data" / name, output / name, value_columns=("value",)) for name in chosen]


def windows_of(corpus: Path, outcomes: Mapping[str, Outcome]) -> dict[str, list[tuple[int, int]]]:
    """First and last row of each labelled window, by file, for the files of `outcomes`."""
    labels = _labels(corpus)
    return {
        name: [
            (_row(outcome, parse_time(start), corpus), _row(outcome, parse_time(end), corpus))
            for start, end in labels[name]
        ]
        for name, outcome in outcomes.items()
    }


def _labels(corpus: Path) -> dict[str, list[tuple[str, str]]]:
    path = corpus / "labels" / "combined_windows.json"
    try:
        labels: dict[str, list[tuple[str, str]]] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path}: cannot be read: {error}; expected a copy of the benchmark") from error
    return dict(sorted(labels.items()))


def _row(outcome: Outcome, time: int, corpus: Path) -> int:
    rows = np.flatnonzero(outcome.time == time)
    if not len(rows):
        raise RecordingError(f"{corpus}: {outcome.name}: a window ends at {time} ns, which no row has")
    return int(rows[0])


@dataclass(frozen=True, slots=True)
class _Changes:
    """How the sums change as the threshold falls: sorted by `at`, the score at which each change happens, falling.

    `earned` sums up to what found windows earn, `missed` to the change in the number of missed windows, `false` to
    what false detections cost, each before weighing.
    """

    at: NDArray[np.float64]
    earned: NDArray[np.float64]
    missed: NDArray[np.float64]
    false: NDArray[np.float64]
    windows: int
    countable: int


def score(
    outcomes: Mapping[str, Outcome],
    windows: Mapping[str, list[tuple[int, int]]],
    thresholds: Mapping[str, float] | None = None,
) -> list[NabScore]:
    """The score under each profile, at the threshold that suits the profile best, or at those given, by profile."""
    changes = _changes(outcomes, windows)
    found = []
    for profile in PROFILES:
        steps = profile.found * changes.earned - profile.missed * changes.missed + profile.false * changes.false
        total = np.concatenate([[0.0], np.cumsum(steps)])
        # Rows of one score are detected together: only sums after the last of them can be had.
        possible = np.concatenate([[True], np.append(changes.at[1:] != changes.at[:-1], True)[: len(changes.at)]])
        at = np.concatenate([[np.inf], changes.at])
        if thresholds is not None:
            possible &= at >= thresholds[profile.name]
            place = int(np.flatnonzero(possible)[-1])
        else:
            place = int(np.argmax(np.where(possible, total, -np.inf)))
        perfect = profile.found * changes.windows + profile.missed * changes.countable
        found.append(NabScore(profile.name, float(100.0 * total[place] / perfect), float(at[place])))
    return found


def _changes(outcomes: Mapping[str, Outcome], windows: Mapping[str, list[tuple[int, int]]]) -> _Changes:
    parts: list[tuple[NDArray[np.float64], ...]] = []
    countable = 0
    for name, outcome in outcomes.items():
        scores = outcome.score
        rows = len(scores)
        first = int(_PROBATION_SHARE * min(rows, _PROBATION_ROWS))
        false = _costs(rows, windows[name])
        outside = np.flatnonzero(~np.isnan(false[first:])) + first
        none = np.zeros(len(outside))
        parts.append((scores[outside], none, none, false[outside]))
        for left, right in windows[name]:
            start = max(left, first)
            if start > right:
                continue
            countable += 1
            parts.append(_window_changes(scores[start : right + 1], start, right, right - left + 1))
    at, earned, missed, cost = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-at, kind="stable")
    total = sum(len(windows[name]) for name in outcomes)
    return _Changes(at[order], earned[order], missed[order], cost[order], total, countable)


def _window_changes(
    scores: NDArray[np.float64], start: int, right: int, length: int
) -> tuple[NDArray[np.float64], ...]:
    """As the threshold falls, the first detection jumps back from record to record of the scores."""
    highest = np.maximum.accumulate(scores)
    records = np.flatnonzero(np.concatenate([[True], scores[1:] > highest[:-1]]))[::-1]
    worth = _sigmoid((start + records - right - 1) / length) / _sigmoid(np.array(-1.0))
    missed = np.zeros(len(records))
    missed[0] = -1.0
    return scores[records], np.diff(worth, prepend=0.0), missed, np.zeros(len(records))


def _costs(rows: int, windows: list[tuple[int, int]]) -> NDArray[np.float64]:
    """What a detection at each row costs before weighing, from 0 to -1; NaN within windows."""
    cost = np.full(rows, -1.0)
    for left, right in windows:
        beyond = np.arange(right + 1, rows)
        cost[right + 1 :] = _sigmoid((beyond - right) / max(right - left, 1))
    for left, right in windows:
        cost[left : right + 1] = np.nan
    return cost


def _sigmoid(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 well before the end of a window (place -1), 0 at its end, -1 beyond three lengths of it."""
    return np.where(place > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(place, 3.0))) - 1.0)


def alarms(outcomes: Mapping[str, Outcome], windows: Mapping[str, list[tuple[int, int]]]) -> NabAlarms:
    """What a person with the configured budget would have been told."""
    found = outside = 0
    for name, outcome in outcomes.items():
        inside = np.zeros(len(outcome.openings), np.bool_)
        for left, right in windows[name]:
            hits = (outcome.openings >= left) & (outcome.openings <= right)
            found += bool(hits.any())
            inside |= hits
        outside += int(np.count_nonzero(~inside))
    return NabAlarms(found, sum(len(windows[name]) for name in outcomes), outside, len(outcomes))


def half_splits(
    outcomes: Mapping[str, Outcome], windows: Mapping[str, list[tuple[int, int]]], *, splits: int = 4, seed: int = 0
) -> list[list[NabScore]]:
    """Scores on each half of the files at the thresholds fitted on the other, for `splits` random halvings."""
    names = sorted(outcomes)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        order = random.permutation(len(names))
        halves = [{names[i]: outcomes[names[i]] for i in part} for part in np.array_split(order, 2)]
        for fitted_on, scored in (halves, halves[::-1]):
            fitted = {result.profile: result.threshold for result in score(fitted_on, windows)}
            found.append(score(scored, windows, fitted))
    return found
