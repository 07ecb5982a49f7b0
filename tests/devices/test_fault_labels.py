"""Labels of known faults: as text, as a file, and what is wrong in one by its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devices.fault_labels import (
    COLUMNS,
    Expected,
    FaultLabel,
    Severity,
    append_labels,
    iso_time,
    read_labels,
    write_labels,
)

SECOND = 1_000_000_000
START = 1_772_366_400 * SECOND
LABEL = FaultLabel(
    "pump", "level", "leak", START, START + 60 * SECOND, Severity.CRITICAL, "cause-1", 2, abrupt=False,
    expected=Expected.EITHER, visible_from=START + 5 * SECOND, unseen="too small",
)  # fmt: skip


def test_a_label_comes_back_from_its_file(tmp_path: Path) -> None:
    other = FaultLabel("fan", "*", "stuck", START, START + SECOND, Severity.MAJOR, "fan/*/x", visible_from=START)
    write_labels(tmp_path / "labels.csv", [LABEL])
    append_labels(tmp_path / "labels.csv", [other])
    append_labels(tmp_path / "new.csv", [LABEL, other])
    assert read_labels(tmp_path / "labels.csv") == read_labels(tmp_path / "new.csv") == [LABEL, other]
    assert other.visible_start == START
    assert replace(other, visible_from=None).visible_start == START


def test_columns_that_are_left_out_have_their_usual_values(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("device,metric,kind,start,end\npump,level,leak,2026-03-01T12:00:00Z,1772366401\n")
    assert read_labels(tmp_path / "l.csv") == [
        FaultLabel(
            "pump", "level", "leak", START, START + SECOND, Severity.MAJOR, "pump/level/2026-03-01T12:00:00Z", 0,
            abrupt=True, expected=Expected.ALARM,
        )
    ]  # fmt: skip


def test_a_file_with_other_columns_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("device,start\npump,1\n")
    append_labels(path, [LABEL])
    assert (tmp_path / "labels.csv.old").read_text() == "device,start\npump,1\n"
    assert (read_labels(path), path.read_text().splitlines()[0]) == ([LABEL], ",".join(COLUMNS))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("device,metric,kind,start\n", "line 1: no column 'end'; expected device, metric, kind, start, end"),
        ("device,metric,kind,start,end\np,m,k,9,9\n", "line 2: end '9': expected a time after start '9'"),
        ("device,metric,kind,start,end\np,m,k,1,2\np,m,k,soon,9\n", "line 3: start: 'soon'; expected ISO 8601"),
        ("device,metric,kind,start,end,severity\np,m,k,1,2,awful\n", "line 2: 'awful' is not a valid Severity"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(ValueError, match=f"l.csv: {said}"):
        read_labels(tmp_path / "l.csv")


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (START, "2026-03-01T12:00:00.000Z"), (START + 1_999_999, "2026-03-01T12:00:00.001Z"),
        (START + 999_000_000, "2026-03-01T12:00:00.999Z"), (-1_000_000, "1969-12-31T23:59:59.999Z"),
    ],
)  # fmt: skip
def test_a_time_is_written_to_the_millisecond(time: int, text: str) -> None:
    assert iso_time(time) == text
