"""Tables on the command line: they fit a screen, name their zone, and show all on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.cli.command_line import main
from driftline.cli.tables import Format, Rows, print_rows

Captured = pytest.CaptureFixture[str]

DEVICE = "plant/hall-1/press-01-of-the-second-line"
REASON = "x " * 59 + "x"
ROWS = Rows(
    ["alarm", "device", "metric", "opened", "peak_score", "reason"],
    [
        [3, DEVICE, "temperature of the oil", "2026-11-27T18:00:00.5Z", 5.25, REASON],
        [12, "tank", "level", "2026-11-27T18:00:01Z", None, ""],
    ],
)


@pytest.fixture(autouse=True)
def no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


def test_a_table_keeps_to_the_columns_set_with_the_reason_below(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_rows(ROWS, Format.TABLE, narrow=["alarm", "device", "metric", "opened"], below="reason")
    assert capsys.readouterr().out.splitlines() == [
        "alarm  device                        metric                  opened (UTC)",
        "    3  plant/hall-1/press-01-of-th…  temperature of the oil  2026-11-27 18:00:00",
        "    " + "x " * 37 + "x",
        "    " + "x " * 21 + "x",
        "   12  tank                          level                   2026-11-27 18:00:01",
    ]


def test_wide_shows_every_column_in_full(capsys: Captured) -> None:
    print_rows(ROWS, Format.TABLE, wide=True, narrow=["alarm"], below="reason")
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["alarm", "device", "metric", "opened", "(UTC)", "peak_score", "reason"]
    assert first == f"    3  {DEVICE}  temperature of the oil  2026-11-27 18:00:00        5.25  {REASON}"
    assert second.split() == ["12", "tank", "level", "2026-11-27", "18:00:01"]


def test_nothing_is_cut_in_a_file(capsys: Captured) -> None:
    print_rows(ROWS, Format.TABLE)
    assert capsys.readouterr().out.splitlines()[1].endswith(REASON)
    print_rows(ROWS, Format.TABLE, narrow=["alarm", "device"], below="reason")
    assert capsys.readouterr().out.splitlines()[1] == f"    3  {DEVICE}  {REASON}"


def test_a_table_without_rows_is_a_sentence_and_programs_get_an_empty_answer(capsys: Captured) -> None:
    empty = Rows(["stream", "rows"], [])
    for form, said in ((Format.TABLE, "No streams"), (Format.CSV, "stream,rows"), (Format.JSON, "[]")):
        print_rows(empty, form, none="No streams")
        assert capsys.readouterr().out == f"{said}\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("functions", "No functions are configured: see docs/functions.md"),
        ("tokens", "No tokens: make one with `driftline tokens add NAME`, see docs/sign-in.md"),
        (
            "users",
            "No users, so nobody has to sign in: `driftline users add NAME --role admin` makes the first, "
            "see docs/sign-in.md",
        ),
    ],
)
def test_commands_say_that_there_is_nothing_and_what_makes_one(
    command: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 0
    assert capsys.readouterr().out == f"{said}\n"


def test_texts_that_a_spreadsheet_would_run_are_quoted_on_request(capsys: Captured) -> None:
    rows = Rows(["=name", "value"], [["=cmd|' /C calc'!A0", -1.5], ["@SUM(A1)", 2], ["\t=1", None], ["pump", True]])
    print_rows(rows, Format.SPREADSHEET)
    assert capsys.readouterr().out == "'=name,value\n'=cmd|' /C calc'!A0,-1.5\n'@SUM(A1),2\n'\t=1,\npump,true\n"
    print_rows(rows, Format.CSV)
    assert capsys.readouterr().out.startswith("=name,value\n=cmd")


def test_csv_keeps_times_as_they_are(capsys: Captured) -> None:
    print_rows(Rows(["opened"], [["2026-11-27T18:00:00.5Z"]], truncated=True), Format.CSV)
    said = capsys.readouterr()
    assert said.out == "opened\n2026-11-27T18:00:00.5Z\n"
    assert said.err == "driftline: only the first 1 rows; there are more\n"
