import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.alarm_settings import AlarmSettings
from ingest.ingest_settings import ComponentSettings, MetricSettings, RouteSettings
from tuning.backtest import Plan, score_columns, score_recording
from tuning.recordings import RecordingError, open_recording
from tuning.results import ONE_CHANNEL, output_paths, write_track
from tuning.runs import Job, run_all
from tuning.synthetic import MINUTE, NORMAL, START, times, with_faults
from tuning.track import Track

ZSCORE = Plan(detectors={"default": ComponentSettings(type="zscore", warmup=20)})


def made(kind: str, rows: int) -> np.ndarray:
    return NORMAL[kind](rows, np.random.default_rng(7))[:, None]


def written(track: Track, path: Path) -> list[dict[str, str]]:
    write_track(track, path)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", NORMAL)
@settings(max_examples=8, deadline=None)
@given(cut=st.integers(min_value=1, max_value=1999))
def test_scores_of_a_prefix_are_the_prefix_of_the_scores(kind: str, cut: int) -> None:
    values = made(kind, 2000)
    whole = score_columns(Plan(), "a", ["value"], times(2000), values)
    start = score_columns(Plan(), "a", ["value"], times(cut), values[:cut])
    np.testing.assert_array_equal(whole.score[:cut], start.score)
    np.testing.assert_array_equal(whole.device_event[:cut], start.device_event)


def test_scores_of_a_prefix_of_a_device_are_the_prefix_of_its_scores() -> None:
    values = np.column_stack([made(kind, 1200)[:, 0] for kind in list(NORMAL)[:4]])
    plan = Plan(multivariate=True)
    whole = score_columns(plan, "a", list("abcd"), times(1200), values)
    start = score_columns(plan, "a", list("abcd"), times(700), values[:700])
    np.testing.assert_array_equal(whole.device_score[:700], start.device_score)


def test_reading_a_file_in_chunks_gives_the_same_scores(tmp_path: Path) -> None:
    values = made("seasonal", 12_000)
    path = tmp_path / "oven.csv"
    path.write_text(
        "timestamp,value\n"
        + "".join(f"{t},{v!r}\n" for t, v in zip(times(12_000).tolist(), values[:, 0].tolist(), strict=True))
    )
    from_file = score_recording(ZSCORE, open_recording(path))
    at_once = score_columns(ZSCORE, "oven", ["value"], times(12_000), values)
    np.testing.assert_array_equal(from_file.score, at_once.score)
    np.testing.assert_array_equal(from_file.device_event, at_once.device_event)
    assert dict(from_file.reasons) == dict(at_once.reasons)


def test_every_row_has_a_result_and_late_ones_are_not_learned(tmp_path: Path) -> None:
    values, order = made("stationary", 200), np.arange(200)
    late = np.insert(order, [100, 150], [60, 148])
    spoilt = values[late]
    spoilt[[100, 151]] = 1e6
    track = score_columns(ZSCORE, "a", ["value"], times(200)[late], spoilt)
    clean = score_columns(ZSCORE, "a", ["value"], times(200), values)
    assert np.flatnonzero(track.late).tolist() == [100, 151]
    assert np.isnan(track.score[track.late]).all()
    np.testing.assert_array_equal(track.score[~track.late], clean.score)
    rows = written(track, tmp_path / "a.csv")
    assert len(rows) == 202
    assert rows[100]["anomaly_score"] == "0"
    assert rows[100]["anomaly"] == "0"
    assert rows[100]["expected"] == rows[100]["lower"] == rows[100]["upper"] == ""


def test_a_cell_without_a_number_is_a_row_without_a_score() -> None:
    values = made("stationary", 200)
    holes = values.copy()
    holes[120] = np.nan
    track = score_columns(ZSCORE, "a", ["value"], times(200), holes)
    assert np.isnan(track.score[120, 0])
    assert not track.late.any()
    assert np.isfinite(track.anomaly_score).all()


def test_an_anomaly_says_why_and_warming_scores_are_zero(tmp_path: Path) -> None:
    values = made("stationary", 300)
    values[250] = 200.0
    rows = written(score_columns(ZSCORE, "a", ["value"], times(300), values), tmp_path / "a.csv")
    assert list(rows[0]) == list(ONE_CHANNEL)
    assert {row["anomaly_score"] for row in rows[:20]} == {"0"}
    assert all(math.isfinite(float(row["anomaly_score"])) for row in rows)
    assert rows[250]["anomaly"] == "1"
    assert rows[250]["value"] == "200"
    assert rows[250]["reason"].startswith("value 200.0, usually ")
    assert float(rows[250]["lower"]) < float(rows[250]["expected"]) < float(rows[250]["upper"]) < 200.0
    assert all(not row["reason"] for row in rows if row["anomaly"] == "0")


def test_the_alarms_are_listed_beside_the_scores_with_their_reasons(tmp_path: Path) -> None:
    values = made("stationary", 300)
    values[250:253] = 200.0
    rows = written(score_columns(ZSCORE, "a", ["value"], times(300), values), tmp_path / "a.csv")
    assert {row["novelty"] for row in rows} == {""}
    with (tmp_path / "a.alarms.csv").open(newline="") as file:
        (alarm,) = [row for row in csv.DictReader(file) if float(row["peak_score"]) > 10]
    assert (alarm["metric"], alarm["value"], alarm["severity"]) == ("value", "200", "major")
    assert alarm["opened"] == f"{np.datetime64(int(times(300)[250]), 'ns')}Z"
    assert alarm["cleared"] > alarm["opened"]
    assert alarm["reason"].startswith("value 200.0, usually ")


def test_several_channels_have_a_score_each_and_the_highest_together(tmp_path: Path) -> None:
    values = np.column_stack([made("stationary", 300), made("autocorrelated", 300)])
    values[280, 1] = -500.0
    track = score_columns(ZSCORE, "pump", ["flow", "power"], times(300), values)
    rows = written(track, tmp_path / "pump.csv")
    assert list(rows[0]) == ["timestamp", "anomaly_score", "anomaly", "reason", "score_flow", "score_power"]
    assert rows[280]["anomaly"] == "1"
    assert rows[280]["reason"].startswith("power: power -500")
    assert float(rows[280]["anomaly_score"]) == pytest.approx(float(rows[280]["score_power"]))
    assert rows[3]["score_flow"] == ""


def test_channels_scored_as_one_device_find_a_common_shift_and_say_which() -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(1500, 6)) + np.array([0.0, 5.0, -3.0, 100.0, 8.0, 1.0])
    values[1000:1100, :3] += np.array([2.5, 1.5, 1.5])
    values[:, 5] = 1.0
    track = score_columns(Plan(multivariate=True), "pump", list("abcdef"), times(1500), values)
    np.testing.assert_array_equal(track.device_score[50:400], track.score[50:400].max(axis=1))
    assert track.device_anomaly[400:1000].mean() < 0.01
    assert track.device_anomaly[1030:1100].all()
    assert re.match(r"the device's metrics are odd together, score \d+\.\d by joint: a ", track.reason(1050))
    assert track.replaces_channels
    assert track.device_anomaly[1200:].mean() < 0.01


def test_a_route_that_names_a_detector_of_rows_scores_its_recordings_as_devices() -> None:
    values = np.column_stack([made("stationary", 600), made("stationary", 600)])
    row = 400 + int(np.argmax(values[400:, 0]))
    values[row, 1] = values[:, 1].min()
    route = RouteSettings(filter="replay/pump", detectors=["default", "pca"])
    plan = Plan({**ZSCORE.detectors, "pca": ComponentSettings(type="pca")}, routes=[route])
    track = score_columns(plan, "pump", ["a", "b"], times(600), values)
    alone = score_columns(ZSCORE, "pump", ["a", "b"], times(600), values)
    np.testing.assert_array_equal(track.score, alone.score)
    assert (track.device_score[200:] >= alone.device_score[200:]).all()
    assert track.device_score[row] > alone.device_score[row] + 1.0
    assert not track.replaces_channels


def test_more_channels_than_a_detector_of_rows_takes_are_refused() -> None:
    plan = Plan({"pca": ComponentSettings(type="pca", channels=2)}, detector="pca", multivariate=True)
    with pytest.raises(RecordingError, match=r"set channels = 3 under \[detectors\.pca\]"):
        score_columns(plan, "pump", list("abc"), times(50), np.zeros((50, 3)))


def test_the_first_move_of_a_channel_that_never_moved_shows_among_others() -> None:
    values = np.full((900, 3), 20.0)
    values[800:, 1] = 21.0
    track = score_columns(Plan(multivariate=True), "pump", list("abc"), times(900), values)
    assert np.flatnonzero(track.device_anomaly)[0] in range(800, 805)


def test_a_detector_that_is_named_scores_every_channel_and_the_route_decides_the_rest() -> None:
    route = RouteSettings(
        filter="replay/pump", detectors=["slow"], metrics=[MetricSettings(match="bat*", detectors=["limit"], unit="V")]
    )
    first, last = Plan(routes=[route], detector="mine").routes_in_force()
    assert (first.filter, first.detectors) == ("replay/pump", ["mine"])
    assert (first.metrics[0].match, first.metrics[0].detectors, first.metrics[0].unit) == ("bat*", None, "V")
    assert (last.filter, last.detectors) == ("#", ["mine"])
    assert Plan(routes=[route]).routes_in_force()[0] == route


def test_a_wider_budget_gives_more_anomalies_and_the_same_scores() -> None:
    values = made("heavy-tailed", 4000)
    tight = score_columns(Plan(), "a", ["value"], times(4000), values)
    wide = score_columns(Plan(alarm=AlarmSettings(budget="2 per sensor per day")), "a", ["value"], times(4000), values)
    np.testing.assert_array_equal(tight.score, wide.score)
    assert wide.anomaly.sum() > tight.anomaly.sum()


def test_times_are_written_as_read_and_labels_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "valve.csv"
    path.write_text("datetime;flow rate;label\n" + "".join(f"2020-03-09 10:{m:02}:00;{m},5;x\n" for m in range(40)))
    recording = open_recording(path, ignore=["label"])
    rows = written(score_recording(ZSCORE, recording), tmp_path / "out.csv")
    assert rows[3]["timestamp"] == "2020-03-09 10:03:00"
    assert rows[3]["value"] == "3.5"


def test_a_file_without_times_has_a_row_a_minute_where_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("value\n" + "\n".join(str(v) for v in range(50)) + "\n")
    with pytest.raises(RecordingError, match="no column of times"):
        open_recording(path)
    chunk = next(open_recording(path, every=MINUTE).chunks(rows=50))
    assert chunk.time.tolist() == [MINUTE * row for row in range(50)]
    assert chunk.time_written[49] == 49


def test_files_in_parallel_give_what_they_give_alone(tmp_path: Path) -> None:
    jobs = []
    for seed in range(3):
        series = with_faults("stationary", seed, rows=900)
        path = tmp_path / f"{seed}.csv"
        lines = (f"{START + MINUTE * row},{value!r}\n" for row, value in enumerate(series.value.tolist()))
        path.write_text("time,value\n" + "".join(lines))
        jobs.append(Job(str(seed), path, tmp_path / "out" / path.name))
    seen: list[str] = []
    together = run_all(ZSCORE, jobs, workers=2, done=lambda outcome: seen.append(outcome.name))
    texts = [job.output.read_text() for job in jobs]
    alone = run_all(ZSCORE, jobs, workers=1)
    assert [job.output.read_text() for job in jobs] == texts
    assert list(together) == list(alone) == ["0", "1", "2"]
    assert sorted(seen) == ["0", "1", "2"]


def test_results_of_namesakes_do_not_overwrite_each_other_nor_the_inputs(tmp_path: Path) -> None:
    inputs = [tmp_path / "valve1" / "0.csv", tmp_path / "valve2" / "0.csv.gz"]
    out = tmp_path / "out"
    assert output_paths(inputs, out) == [out / "valve1" / "0.csv", out / "valve2" / "0.csv"]
    assert output_paths(inputs[:1], out) == [out / "0.csv"]
    with pytest.raises(RecordingError, match="overwritten"):
        output_paths(inputs[:1], tmp_path / "valve1")
    with pytest.raises(RecordingError, match="given twice"):
        output_paths([inputs[0], inputs[0]], out)
