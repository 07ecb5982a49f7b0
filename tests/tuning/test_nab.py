import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpora_folders import corpus, scorer
from hypothesis import given
from hypothesis import strategies as st

from tuning import nab
from tuning.recordings import RecordingError, open_recording
from tuning.runs import Outcome

Windows = list[tuple[int, int]]


def outcome(scores: list[float] | np.ndarray, openings: list[int] | None = None, name: str = "a") -> Outcome:
    scores = np.asarray(scores, np.float64)
    return Outcome(
        name, np.arange(len(scores)), scores, scores > 0, np.array(openings or [], np.intp), len(scores), 0, True, 0.0
    )


def by_definition(scores: np.ndarray, windows: Windows, threshold: float, profile: nab.Profile) -> float:
    """The benchmark's definition, row by row: what one file adds to the sum at one threshold."""

    def sigmoid(y: float) -> float:
        return 2.0 / (1.0 + math.exp(5.0 * y)) - 1.0

    first = min(int(0.15 * len(scores)), 750)
    total, before = 0.0, None
    for left, right in windows:
        detected = [row for row in range(max(left, first), right + 1) if scores[row] >= threshold]
        if detected:
            length = right - left + 1
            total += profile.found * sigmoid(-(right - detected[0] + 1) / length) / sigmoid(-1.0)
        elif right >= first:
            total -= profile.missed
    for row in range(first, len(scores)):
        if scores[row] < threshold or any(left <= row <= right for left, right in windows):
            continue
        before = max((w for w in windows if w[1] < row), default=None)
        place = math.inf if before is None else (row - before[1]) / (before[1] - before[0])
        total += profile.false * (-1.0 if place > 3.0 else sigmoid(place))
    return total


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[np.ndarray, Windows]:
    length = draw(st.integers(20, 120))
    scores = draw(st.lists(st.integers(0, 6), min_size=length, max_size=length))
    edges = sorted(draw(st.lists(st.integers(0, length - 1), min_size=0, max_size=6, unique=True)))
    windows = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False) if b > a]
    return np.array(scores, float), windows


@given(files=st.lists(labelled_scores(), min_size=1, max_size=3), at=st.integers(0, 6))
def test_the_score_is_that_of_the_definition(files: list[tuple[np.ndarray, Windows]], at: int) -> None:
    outcomes = {str(i): outcome(scores) for i, (scores, _) in enumerate(files)}
    windows = {str(i): found for i, (_, found) in enumerate(files)}
    every = sum(map(len, windows.values()))
    countable = sum(right >= min(int(0.15 * len(scores)), 750) for scores, found in files for _, right in found)
    if not every or not countable:
        return
    thresholds = {profile.name: float(at) for profile in nab.PROFILES}
    fixed = nab.score(outcomes, windows, thresholds)
    best = nab.score(outcomes, windows)
    for profile, at_fixed, at_best in zip(nab.PROFILES, fixed, best, strict=True):
        perfect = profile.found * every + profile.missed * countable

        def scaled(threshold: float, profile: nab.Profile = profile, perfect: float = perfect) -> float:
            raw = sum(by_definition(scores, found, threshold, profile) for scores, found in files)
            return 100.0 * (raw + profile.missed * countable) / perfect

        assert at_fixed.score == pytest.approx(scaled(float(at)), abs=1e-9)
        assert at_best.score == pytest.approx(max(scaled(t) for t in [*range(7), math.inf]), abs=1e-9)
        assert at_best.score == pytest.approx(scaled(at_best.threshold), abs=1e-9)


def test_perfect_detection_is_100_and_none_is_0() -> None:
    scores = np.zeros(1000)
    scores[500] = 1.0
    windows = {"a": [(500, 599)]}
    assert [
        round(r.score, 6) for r in nab.score({"a": outcome(scores)}, windows, {"standard": 1, "low FP": 1, "low FN": 1})
    ] == [100] * 3
    assert nab.score({"a": outcome(np.zeros(1000))}, windows)[0].score == 0.0


def test_alarms_are_counted_by_window_and_outside() -> None:
    outcomes = {"a": outcome(np.zeros(100), [3, 40, 45, 90]), "b": outcome(np.zeros(100), [], name="b")}
    told = nab.alarms(outcomes, {"a": [(40, 60), (70, 80)], "b": [(10, 20)]})
    assert (told.found, told.windows, told.outside, told.files) == (1, 3, 2, 2)
    assert told.share == pytest.approx(1 / 3)
    assert told.outside_per_file == 1.0


def test_thresholds_of_a_half_are_used_on_the_other() -> None:
    good = np.zeros(400)
    good[200] = 5.0
    outcomes = {name: outcome(good, name=name) for name in "abcd"}
    windows = {name: [(200, 240)] for name in "abcd"}
    halves = nab.half_splits(outcomes, windows, splits=2)
    assert len(halves) == 4
    assert all(result.score == pytest.approx(100.0) for half in halves for result in half)


def test_a_folder_that_is_no_copy_of_the_benchmark_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="combined_windows"):
        nab.jobs(tmp_path, tmp_path)


def test_scores_agree_with_the_reference_scorer(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="the reference scorer needs pandas")
    script, folder = scorer("score_nab.py"), corpus("nab")
    random = np.random.default_rng(5)
    outcomes = {}
    for job in nab.jobs(folder, tmp_path):
        recording = open_recording(job.path, value_columns=["value"])
        time = np.concatenate([chunk.time for chunk in recording.chunks()])
        scores = np.round(random.exponential(size=len(time)), 3)
        outcomes[job.name] = Outcome(job.name, time, scores, scores > 3, np.array([], np.intp), len(time), 0, True, 0.0)
        job.output.parent.mkdir(exist_ok=True)
        job.output.write_text("anomaly_score\n" + "\n".join(map(repr, scores.tolist())) + "\n")
    answer = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "--nab", str(folder), "--json"],
        capture_output=True, check=True, timeout=240,
    )  # fmt: skip
    theirs = list(json.loads(answer.stdout).values())
    own = nab.score(outcomes, nab.windows_of(folder, outcomes))
    assert [result.score for result in own] == pytest.approx([result["score"] for result in theirs], abs=1e-9)
    assert [result.threshold for result in own] == [result["threshold"] for result in theirs]
