"""The label of a known fault, which simulated devices publish and a score card compares with."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from devices.times import BadTimeError, parse_time

WHOLE_DEVICE = "*"
"""Stands for the metric where a fault concerns all of a device."""

COLUMNS = (
    "device", "metric", "kind", "start", "end", "severity", "root",
    "occurrence", "abrupt", "expected", "visible_from", "unseen",
)  # fmt: skip
REQUIRED = COLUMNS[:5]


class Severity(StrEnum):
    """How large a fault is, against how much the metric usually scatters at that hour."""

    MINOR = "minor"
    """Up to 6 times."""
    MAJOR = "major"
    """Up to 15 times."""
    CRITICAL = "critical"
    """More, or no data at all."""


class Expected(StrEnum):
    """What a good detector does during a labelled stretch."""

    ALARM = "alarm"
    SILENCE = "silence"
    """Ordinary operation that looks odd to a machine, such as a counter that rolls over: an alarm there is false."""
    EITHER = "either"
    """No fault, yet nothing that the past could teach, such as a public holiday: an alarm there does not count."""


@dataclass(frozen=True, slots=True)
class FaultLabel:
    """One fault of one metric, from `start` until before `end`, in ns of event time.

    `root` is shared by the labels of one cause that several metrics show, and is unique otherwise. `occurrence` counts
    the same fault's earlier occurrences on this metric: 0 for the first. `abrupt` kinds are there at once, others grow.
    `visible_from` is when the effect first exceeds three times the usual scatter. `unseen` is empty, or says why
    nothing that only knows the past can see this fault.
    """

    device: str
    metric: str
    kind: str
    start: int
    end: int
    severity: Severity
    root: str
    occurrence: int = 0
    abrupt: bool = True
    expected: Expected = Expected.ALARM
    visible_from: int | None = None
    unseen: str = ""

    @property
    def visible_start(self) -> int:
        """When the fault can first be seen, ns."""
        return self.start if self.visible_from is None else self.visible_from

    def fields(self) -> dict[str, str]:
        """The label as text, times in ISO 8601 with milliseconds."""
        return {
            "device": self.device,
            "metric": self.metric,
            "kind": self.kind,
            "start": iso_time(self.start),
            "end": iso_time(self.end),
            "severity": self.severity.value,
            "root": self.root,
            "occurrence": str(self.occurrence),
            "abrupt": "true" if self.abrupt else "false",
            "expected": self.expected.value,
            "visible_from": iso_time(self.visible_start),
            "unseen": self.unseen,
        }


def iso_time(time: int) -> str:
    """ISO 8601 with milliseconds and Z for a time in ns."""
    whole, rest = divmod(time // 1_000_000, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def write_labels(path: Path, labels: Iterable[FaultLabel]) -> None:
    """Write labels as CSV, a line each. Raises OSError."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(label.fields() for label in labels)


def append_labels(path: Path, labels: Iterable[FaultLabel]) -> None:
    """Add labels to a CSV file, which gets a header line where it is new.

    A file with other columns, as an earlier version wrote, is kept beside it with `.old` after its name.
    """
    header = ",".join(COLUMNS)
    fresh = not path.exists() or path.stat().st_size == 0
    if not fresh:
        with path.open(encoding="utf-8") as file:
            fresh = file.readline().strip() != header
        if fresh:
            path.replace(path.with_name(f"{path.name}.old"))
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerows(label.fields() for label in labels)


def read_labels(path: Path) -> list[FaultLabel]:
    """Read labels as `write_labels` writes them; columns after `end` may be left out.

    Raises ValueError naming file, line, column and value; OSError.
    """
    labels: list[FaultLabel] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in REQUIRED if name not in (reader.fieldnames or [])]:
            raise ValueError(f"{path}: line 1: no column {missing[0]!r}; expected {', '.join(REQUIRED)}")
        for row in reader:
            labels.append(label_of(row, f"{path}: line {reader.line_num}"))
    return labels


def label_of(row: Mapping[str, str], place: str) -> FaultLabel:
    """The label whose `fields` a row holds. Raises ValueError that begins with `place`."""
    start, end = (_time(row, name, place) for name in ("start", "end"))
    if end <= start:
        raise ValueError(f"{place}: end {row['end']!r}: expected a time after start {row['start']!r}")
    try:
        return FaultLabel(
            row["device"],
            row["metric"],
            row["kind"],
            start,
            end,
            Severity(row.get("severity") or "major"),
            row.get("root") or f"{row['device']}/{row['metric']}/{row['start']}",
            int(row.get("occurrence") or 0),
            (row.get("abrupt") or "true") == "true",
            Expected(row.get("expected") or "alarm"),
            _time(row, "visible_from", place) if row.get("visible_from") else None,
            row.get("unseen") or "",
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _time(row: Mapping[str, str], name: str, place: str) -> int:
    try:
        return parse_time(row[name] or "")
    except BadTimeError as error:
        raise ValueError(f"{place}: {name}: {error}") from None
