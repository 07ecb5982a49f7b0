import csv
import json
from pathlib import Path

import numpy as np
import pytest

from driftline.cli.command_line import main
from tuning.synthetic import MINUTE, START, with_faults

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")

Captured = pytest.CaptureFixture[str]


def recording(name: str, seed: int, columns: int = 1, rows: int = 1500) -> Path:
    series = np.column_stack([with_faults("stationary", seed + 10 * k, rows=rows).value for k in range(columns)])
    path = Path(name)
    header = ",".join(["time", *(f"m{k}" for k in range(columns)), "label"])
    lines = [f"{START + MINUTE * i},{','.join(map(repr, row))},0" for i, row in enumerate(series.tolist())]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def results(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_backtest_writes_a_result_for_each_file(capsys: Captured) -> None:
    files = [str(recording("a.csv", 1)), str(recording("b.csv", 2, columns=2))]
    assert main(["backtest", *files, "--out", "out", "--ignore", "label", "--workers", "1"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    one, two = results(Path("out/a.csv")), results(Path("out/b.csv"))
    assert len(one) == len(two) == 1500
    assert set(one[0]) == {
        *("timestamp", "value", "anomaly_score", "anomaly", "expected", "lower", "upper", "novelty", "reason"),
    }
    assert "score_m0" in two[0]
    assert "score_label" not in two[0]
    assert one[7]["timestamp"] == str(START + 7 * MINUTE)


def test_backtest_scores_by_the_detector_asked_for(capsys: Captured) -> None:
    path = recording("a.csv", 1)
    Path("own.toml").write_text('[detectors.tight]\ntype = "threshold"\nupper = 20\n')
    chosen = ["--value", "m0", "--out", "out", "--config", "own.toml", "--detector", "tight"]
    assert main(["backtest", str(path), *chosen]) == 0
    rows = results(Path("out/a.csv"))
    assert all((row["anomaly"] == "1") == (float(row["value"]) > 20) for row in rows)
    assert main(["backtest", str(path), "--out", "out", "--detector", "zscor"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_backtest_says_what_it_expects(capsys: Captured) -> None:
    assert main(["backtest"]) == 2
    assert "expected FILE... or --from STORE, and --out DIR" in capsys.readouterr().err
    assert main(["backtest", "none.csv", "--out", "out"]) == 2
    assert "none.csv" in capsys.readouterr().err
    assert main(["backtest", ".", "--corpus", "nab", "--out", "out"]) == 2
    assert "combined_windows.json" in capsys.readouterr().err


def test_a_file_without_times_is_scored_and_that_is_said(capsys: Captured) -> None:
    Path("bare.csv").write_text("value\n" + "\n".join(str(i % 7) for i in range(300)) + "\n")
    assert main(["backtest", "bare.csv", "--out", "out"]) == 0
    assert "a minute apart" in capsys.readouterr().err
    assert [row["timestamp"] for row in results(Path("out/bare.csv"))][:3] == ["0", "1", "2"]


def test_a_corpus_of_ones_own_in_the_layout_of_ucr_is_run(capsys: Captured) -> None:
    values = np.tile(np.sin(np.arange(50) / 50 * 2 * np.pi), 60)
    values[2000:2030] = 4.0
    folder = Path("corpus")
    folder.mkdir()
    (folder / "pulse.csv").write_text("value\n" + "\n".join(map(repr, values.tolist())) + "\n")
    (folder / "index.csv").write_text("name,train_end,anomaly_start,anomaly_end,length\npulse,1000,2000,2029,3000\n")
    assert main(["backtest", "corpus", "--corpus", "ucr", "--out", "out", "--workers", "1"]) == 0
    assert "1 of 1" in capsys.readouterr().out
    assert len(results(Path("out/pulse.csv"))) == 3000


def test_tune_prints_a_table_to_paste(capsys: Captured) -> None:
    labels = {}
    for name, seed in (("a.csv", 1), ("b.csv", 2)):
        recording(name, seed)
        windows = with_faults("stationary", seed, rows=1500).windows
        labels[name] = [[START + MINUTE * left, START + MINUTE * right] for left, right in windows]
    Path("labels.json").write_text(json.dumps(labels))
    options = ["--value", "m0", "--detector", "zscore", "--labels", "labels.json", "--trials", "3", "--workers", "1"]
    assert main(["tune", "a.csv", "b.csv", *options, "--parameter", "half_life"]) == 0
    printed = capsys.readouterr()
    assert "held out" in printed.out
    assert '[detectors.zscore]\ntype = "zscore"' in printed.out
    assert main(["tune", "a.csv", *options, "--parameter", "nonsense"]) == 2
    assert "no parameter 'nonsense'" in capsys.readouterr().err
