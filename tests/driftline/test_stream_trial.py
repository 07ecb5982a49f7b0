"""`driftline streams test`: recordings as people have them, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.cli.command_line import main
from driftline.config import parse_config
from driftline.runtime.stream_trial import RecordingError, recorded_messages, results_over

STREAM = """
[[streams]]
name = "heat"
from = "readings"
window = { type = "hopping", size = "10s", hop = "5s" }
sql = "select device, max(heat) as hottest, count(mode) as told from window group by device"
"""
ROWS = "time,device,heat,mode\n2026-03-01T12:00:07Z,pump,20,\n2026-03-01T12:00:01Z,pump,30.5,auto\n"
LINES = (
    '{"topic": "pump", "time": "2026-03-01T12:00:07Z", "payload": {"heat": 20}}\n\n'
    '{"topic": "pump", "time": 1772366401, "payload": "{\\"heat\\": 30.5, \\"mode\\": \\"auto\\"}"}\n'
)


@pytest.mark.parametrize(("name", "text"), [("heat.csv", ROWS), ("heat.jsonl", LINES)])
def test_a_recording_gives_what_the_streams_would_have_given(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    trial = results_over(parse_config(STREAM), recorded_messages(path))
    assert (trial.problems, trial.alarms) == ([], [])
    assert [(each.window_start // 10**9 - 1772366400, each.rows) for each in trial.results] == [
        (-5, [("pump", 30.5, 1)]),
        (0, [("pump", 30.5, 1)]),
        (5, [("pump", 20.0, 0)]),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", "{broken\n", "a.jsonl: line 1: no JSON"),
        ("a.jsonl", '{"topic": "x", "time": 1}\n', 'a.jsonl: line 1: expected {"topic": ..., "time": ..., "payload"'),
        ("a.jsonl", '{"topic": "x", "payload": 1}\n', "a.jsonl: line 1: time: expected ISO 8601"),
        ("a.jsonl", '{"topic": "x", "time": "soon", "payload": 1}\n', "a.jsonl: line 1: time: "),
        ("a.csv", "time,heat\n1,2\n", "a.csv: line 1: expected a column time, and one named topic or device"),
    ],
)
def test_a_recording_that_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(RecordingError) as caught:
        recorded_messages(path)
    assert said in str(caught.value)


def test_sql_that_fails_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,device,heat\n2026-03-01T12:00:07Z,pump,hot\n")
    trial = results_over(parse_config(STREAM.replace("max(heat)", "avg(heat)")), recorded_messages(path))
    assert trial.results == []
    assert len(trial.problems) == 2
    assert trial.problems[0].startswith("heat failed: the window from 2026-03-01T12:00:00.000Z: Binder Error")


def test_alarms_of_conditions_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "heat.csv").write_text(ROWS)
    rule = 'to = ["alarm"]\nalarm = { when = "hottest > 25", sentence = "{hottest} °C" }\n'
    (tmp_path / "driftline.toml").write_text(STREAM + rule)
    assert main(["streams", "test", str(tmp_path / "heat.csv"), "--config", str(tmp_path / "driftline.toml")]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "2026-03-01 12:00:05 UTC: major alarm of pump: 30.5 °C",
        "2026-03-01 12:00:15 UTC: alarm of pump cleared: the condition holds no longer",
        "2 messages: 3 rows of 1 stream",
    ]
