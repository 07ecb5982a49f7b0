"""What a dashboard is, said once and without regard to the database behind it.

A panel carries each of its queries in both languages, side by side: PromQL (with MetricsQL's functions, as
VictoriaMetrics speaks it) and Flux. Everything else about it is common to all databases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["timeseries", "stat", "table", "bargauge", "state"]
"""How a panel shows its data: lines, large figures, rows, bars, or states over time."""

Look = Literal["line", "bars", "points", "band"]
"""How a panel of lines draws: lines, bars, points, or a line within its band."""

COLUMNS = 24
"""Width of Grafana's grid."""

FOLDER_UID = "driftline"
FOLDER_TITLE = "Driftline"
TAG = "driftline"
"""What all dashboards are tagged with; their links to each other follow it."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel. `legend` names its series: text with labels in double braces, such as "{{device}}".

    An `instant` query asks for one value a series at the end of the time range; else for values over the range.
    """

    promql: str
    flux: str
    legend: str = ""
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Threshold:
    """From `above` on (None: from the least value) the colour is this. Colours are Grafana's own names."""

    above: float | None
    color: str


@dataclass(frozen=True, slots=True)
class ValueText:
    """A number that stands for a state: shown as this text in this colour."""

    value: int
    text: str
    color: str


@dataclass(frozen=True, slots=True)
class SeriesLook:
    """How the series of one query differ from the panel's: by the query's place, 0 for the first."""

    query: int
    color: str = ""
    look: Look | None = None
    fill_to: int | None = None
    dashed: bool = False
    axis_right: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `name` is unique within its dashboard and never changes, the rest is what is seen.

    `unit` is one of Grafana's unit ids, or "metric" for that of the metric shown. `columns` renames a table's columns,
    in the order of the queries, and `places` gives their decimals. `colors` are those of series by their names.
    `opens` is the dashboard that a click on a series leads to.
    """

    name: str
    title: str
    description: str
    kind: Kind
    queries: tuple[Query, ...]
    width: int
    height: int = 8
    unit: str = ""
    decimals: int | None = None
    minimum: float | None = None
    look: Look = "line"
    stacked: bool = False
    logarithmic: bool = False
    thresholds: tuple[Threshold, ...] = ()
    texts: tuple[ValueText, ...] = ()
    looks: tuple[SeriesLook, ...] = ()
    columns: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    places: tuple[int | None, ...] = ()
    colors: Mapping[str, str] = field(default_factory=dict)
    sort_by: str = ""
    empty: str = ""
    opens: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the head of a dashboard, filled from the database.

    `promql` is Grafana's `label_values(...)`, `flux` a query whose rows are the choices. `pattern` takes its first
    group of each choice. Where `many` is set, several and all may be chosen; all stands for ".*".
    """

    name: str
    label: str
    description: str
    promql: str
    flux: str
    pattern: str = ""
    many: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A row of a dashboard: its title and the panels under it, laid out left to right.

    `repeat` names a variable: Grafana shows the row once for each of its chosen values.
    """

    title: str
    panels: tuple[Panel, ...]
    repeat: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `uid` never changes; links and pushes go by it. `alarms` is what its annotations show."""

    uid: str
    title: str
    description: str
    sections: tuple[Section, ...]
    variables: tuple[Variable, ...] = ()
    alarms: Query | None = None
    time_from: str = "now-30m"
    refresh: str = "10s"
    tags: tuple[str, ...] = field(default=(TAG,))

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels in reading order."""
        return tuple(panel for section in self.sections for panel in section.panels)
