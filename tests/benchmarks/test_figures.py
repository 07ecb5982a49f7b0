"""The table: the median is held against the target, from the right side."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from benchmarks.figures import MET, MISSED, Figures


def table() -> Figures:
    figures = Figures()
    for value in (0.9, 5.0, 0.7):
        figures.add("speed", "cost", value, "µs", at_most=1.0)
    for value in (90.0, 99.0, 400.0):
        figures.add("speed", "ratio", value, "x", at_least=100.0)
    figures.add("size", "bytes", 7.0, "B")
    return figures


def test_runs_of_one_name_are_one_row_with_its_spread() -> None:
    row = table().rows[0].to_json()
    assert (row["min"], row["median"], row["max"], row["runs"]) == (0.7, 0.9, 5.0, 3)
    assert (row["target"], row["verdict"]) == ("≤ 1", MET)


def test_the_median_misses_a_lower_limit() -> None:
    assert table().rows[1].verdict == MISSED


def test_a_figure_without_a_target_has_no_verdict() -> None:
    assert "verdict" not in table().rows[2].to_json()


def test_the_table_shows_every_row() -> None:
    console = Console(file=StringIO(), width=140)
    table().show(console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(word in shown for word in ("cost", "ratio", "bytes", "met", "missed"))
