import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpora_folders import corpus, scorer

from tuning import skab, ucr
from tuning.recordings import RecordingError
from tuning.runs import Outcome


def outcome(name: str, scores: np.ndarray, anomaly: np.ndarray | None = None) -> Outcome:
    flagged = scores > 0 if anomaly is None else anomaly
    return Outcome(name, np.arange(len(scores)), scores, flagged, np.array([], np.intp), len(scores), 0, False, 0.0)


@pytest.mark.parametrize(
    ("places", "hit"),
    [([350], True), ([600], True), ([601], False), ([500, 510], True), ([350, 900], False), ([], False)],
)
def test_a_hit_is_the_highest_score_within_the_tolerance(places: list[int], hit: bool) -> None:
    scores = np.zeros(1000)
    scores[50] = 99.0
    scores[places] = 5.0
    label = ucr.Label("a", train_end=100, start=450, end=500, length=1000)
    (found,) = ucr.score({"a": outcome("a", scores)}, [label])
    assert found.hit is hit


def test_a_result_of_another_length_is_refused() -> None:
    with pytest.raises(RecordingError, match="expected 11"):
        ucr.score({"a": outcome("a", np.zeros(10))}, [ucr.Label("a", 1, 5, 6, 11)])


def test_a_folder_without_an_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"index\.csv"):
        ucr.labels(tmp_path)
    with pytest.raises(RecordingError, match="no CSV with a column 'anomaly'"):
        skab.jobs(tmp_path, tmp_path)


def test_ucr_agrees_with_the_reference_scorer(tmp_path: Path) -> None:
    script, folder = scorer("score_ucr.py"), corpus("ucr-dev")
    random = np.random.default_rng(5)
    labelled, outcomes = ucr.labels(folder), {}
    for number, label in enumerate(labelled):
        scores = np.round(random.exponential(size=label.length), 2)
        if number % 2:
            scores[label.start : label.start + 1 + number % 3] = 30.0
        outcomes[label.name] = outcome(label.name, scores)
        text = "anomaly_score\n" + "\n".join(map(repr, scores.tolist())) + "\n"
        (tmp_path / f"{label.name}.csv").write_text(text)
    command = [sys.executable, str(script), str(tmp_path), "--corpus", str(folder)]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=240, text=True)
    found = re.search(r"\((\d+)/(\d+)\)", answer.stdout)
    assert found is not None
    own = ucr.score(outcomes, labelled)
    assert (sum(hit.hit for hit in own), len(own)) == (int(found[1]), int(found[2]))


def test_skab_counts_rows_after_the_warm_up_over_all_files() -> None:
    faulty = {"a": np.arange(500) >= 450, "b": np.arange(500) >= 480}
    said = {"a": np.arange(500) % 2 == 0, "b": np.zeros(500, bool)}
    found = skab.score({name: outcome(name, np.zeros(500), said[name]) for name in faulty}, faulty)
    assert (found.true_positives, found.false_positives) == (25, 25)
    assert (found.false_negatives, found.true_negatives) == (45, 105)
    assert found.f1 == pytest.approx(50 / 120)
    assert found.false_alarm_rate == pytest.approx(25 / 130)
    assert found.missed_alarm_rate == pytest.approx(45 / 70)


def test_flagging_every_row_of_skab_scores_what_is_published() -> None:
    folder = corpus("skab")
    labelled = {job.name: skab.labels(job.path) for job in skab.jobs(folder, folder)}
    assert len(labelled) == 34
    everything = {name: outcome(name, np.ones(len(rows))) for name, rows in labelled.items()}
    assert skab.score(everything, labelled).f1 == pytest.approx(0.698, abs=0.001)
