"""Tables on the command line: they fit a screen, name their zone, and show all on request."""

from __future__ import annotations

import pytest

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


def test_a_table_keeps_to_80_columns_with_the_reason_below(capsys: Captured) -> None:
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


def test_the_answer_to_a_query_is_not_cut_in_a_file(capsys: Captured) -> None:
    print_rows(ROWS, Format.TABLE)
    assert capsys.readouterr().out.splitlines()[1].endswith(REASON)


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
