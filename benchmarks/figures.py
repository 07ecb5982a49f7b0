"""A figure of the table: several runs of one quantity, and the target that it has to meet."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

MET, MISSED, SHOWN = "met", "missed", ""


@dataclass(slots=True)
class Figure:
    """One row: `values` are those of single runs. A target is a limit on the median, from above or from below."""

    group: str
    name: str
    unit: str
    values: list[float]
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """The value that is held against the target."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """Whether the median meets the target; empty where there is none."""
        if self.at_most is not None:
            return MET if self.median <= self.at_most else MISSED
        if self.at_least is not None:
            return MET if self.median >= self.at_least else MISSED
        return SHOWN

    @property
    def target(self) -> str:
        """The target in words."""
        if self.at_most is not None:
            return f"≤ {plain(self.at_most)}"
        return f"≥ {plain(self.at_least)}" if self.at_least is not None else ""

    def to_json(self) -> dict[str, Any]:
        """The row as it is written to `results.json`."""
        low, high = min(self.values), max(self.values)
        row: dict[str, Any] = {"group": self.group, "name": self.name, "unit": self.unit}
        row |= {"min": _short(low), "median": _short(self.median), "max": _short(high), "runs": len(self.values)}
        if self.target:
            row |= {"target": self.target, "verdict": self.verdict}
        return row | ({"note": self.note} if self.note else {})


@dataclass(slots=True)
class Figures:
    """The table as it grows. `add` collects the runs of one name under one row."""

    rows: list[Figure] = field(default_factory=list)

    def add(
        self,
        group: str,
        name: str,
        value: float,
        unit: str = "",
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        note: str = "",
    ) -> None:
        """Add one run's value to the row of this group and name."""
        for row in self.rows:
            if (row.group, row.name) == (group, name):
                row.values.append(value)
                row.note = note or row.note
                return
        self.rows.append(Figure(group, name, unit, [value], at_most, at_least, note))

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title="Driftline: speed and size", title_justify="left", caption_justify="left")
        table.add_column("figure", overflow="fold", ratio=5)
        for name in ("min", "median", "max"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("unit", no_wrap=True)
        table.add_column("target", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        group = None
        for row in self.rows:
            if row.group != group:
                group = row.group
                table.add_section()
                table.add_row(f"[bold]{group}[/]")
            colour = {MET: "green", MISSED: "red"}.get(row.verdict, "default")
            cells = [plain(v) for v in (min(row.values), row.median, max(row.values))]
            name = f"{row.name} [dim]({row.note})[/]" if row.note else row.name
            table.add_row(name, *cells, row.unit, row.target, f"[{colour}]{row.verdict}[/]")
        console.print(table)


def plain(value: float) -> str:
    """A number with three digits that matter, thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _short(value: float) -> float:
    return float(f"{value:.5g}")
