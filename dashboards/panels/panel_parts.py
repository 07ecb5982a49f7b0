"""What several dashboards share: their variables, their annotations, colours and states."""

from __future__ import annotations

from dashboards.languages import TRUTH_METRIC, piped, rows, series
from dashboards.model import Query, Threshold, ValueText, Variable

STATE_WINDOW = "30d"
"""How far back the latest state of an alarm or a device is looked for: states are stored only as they change."""

_READINGS = f'driftline_value{{metric!~"{TRUTH_METRIC}"}}'
_TAG_VALUES = 'import "influxdata/influxdb/schema"\nschema.tagValues(bucket: v.defaultBucket, tag: "{tag}"{predicate})'


def _tags(tag: str, predicate: str) -> str:
    return _TAG_VALUES.format(tag=tag, predicate=f", predicate: (r) => {predicate}")


SITE = Variable(
    "site",
    "Site",
    "Devices whose names begin alike, up to the last slash. All takes devices without a slash in their name too.",
    f"label_values({_READINGS}, device)",
    _tags("device", 'r._measurement == "driftline"'),
    pattern="/^(.*\\/)[^\\/]+$/",
)
DEVICE = Variable(
    "device",
    "Device",
    "One device of the sites chosen.",
    f'label_values(driftline_value{{device=~"$site.*",metric!~"{TRUTH_METRIC}"}}, device)',
    _tags("device", 'r._measurement == "driftline" and r.device =~ /^${site:regex}/'),
    many=False,
)
SIBLINGS = Variable(
    "siblings",
    "Siblings",
    "The devices that are named like the one chosen but for their number.",
    f'label_values(driftline_value{{device="$device",metric!~"{TRUTH_METRIC}"}}, device)',
    _tags("device", 'r._measurement == "driftline" and r.device == "${device}"'),
    pattern="/^(.*?)[0-9]*$/",
    many=False,
)
METRIC = Variable(
    "metric",
    "Metric",
    "What the devices measure.",
    f'label_values(driftline_value{{device=~"$site.*",metric!~"{TRUTH_METRIC}"}}, metric)',
    _tags(
        "metric",
        f'r._measurement == "driftline" and r.device =~ /^${{site:regex}}/ and r.metric !~ /^{TRUTH_METRIC}$/',
    ),
)
METRIC_OF_DEVICE = Variable(
    "metric",
    "Metric",
    "What the device measures.",
    f'label_values(driftline_value{{device="$device",metric!~"{TRUTH_METRIC}"}}, metric)',
    _tags("metric", f'r._measurement == "driftline" and r.device == "${{device}}" and r.metric !~ /^{TRUTH_METRIC}$/'),
)
DETECTOR = Variable(
    "detector",
    "Detector",
    "Contributors to alarms: a detector, or one part of it.",
    'label_values(driftline_alarm_detector_decades{device=~"$site.*"}, detector)',
    _tags("detector", 'r._measurement == "driftline_alarm_detector"'),
)

ALARMS = Query(
    f"{series('alarm_open')} == 1",
    piped(rows("open", measurement="driftline_alarm"), "filter(fn: (r) => r._value == 1)"),
    legend="{{device}} {{metric}}",
)
"""The openings of alarms, as annotations."""

ALARMS_OF_DEVICE = Query(
    f"{series('alarm_open', scope='device')} == 1",
    piped(rows("open", measurement="driftline_alarm", scope="device"), "filter(fn: (r) => r._value == 1)"),
    legend="{{metric}}",
)

GOOD_TO_BAD = (Threshold(None, "green"), Threshold(1, "orange"), Threshold(5, "red"))
"""A count of things that should be none."""

SEVERITIES = {"minor": "orange", "major": "red"}
"""Colours of alarms by their severity."""

NEUTRAL = (Threshold(None, "blue"),)

SCORE = (Threshold(None, "green"), Threshold(4, "orange"), Threshold(6, "red"))
"""A score is decades: 4 is one reading in ten thousand, 6 one in a million."""

ALARM_STATES = (ValueText(0, "clear", "green"), ValueText(1, "alarm", "red"))

WINDOW = "aggregateWindow(every: v.windowPeriod, fn: {}, createEmpty: false)"
"""Flux that makes one value of each stretch of the time range."""


def over_time(flux: str, function: str, *by: str, total: str = "sum()") -> str:
    """Flux: each stretch of the time range to one value a series by `function`, those to one a group by `total`."""
    labels = ", ".join(f'"{name}"' for name in by)
    with_time = ", ".join(['"_time"', *([labels] if labels else [])])
    return piped(flux, WINDOW.format(function), f"group(columns: [{with_time}])", total, f"group(columns: [{labels}])")


def side_by_side(keys: tuple[str, ...], columns: dict[str, str]) -> str:
    """Flux: a table with a row for each of `keys`, and for each query of `columns` a column of its `_value`."""
    row = ", ".join(f"{key}: r.{key}" for key in keys)
    named = ",\n  ".join(f'{flux}\n    |> named(name: "{name}")' for name, flux in columns.items())
    return f"""\
named = (tables=<-, name) => tables
  |> map(fn: (r) => ({{{row}, name: name, _value: float(v: r._value)}}))
union(tables: [
  {named}
])
  |> group()
  |> pivot(rowKey: [{", ".join(f'"{key}"' for key in keys)}], columnKey: ["name"], valueColumn: "_value")"""


def in_all(flux: str, function: str, *by: str, total: str = "sum()") -> str:
    """Flux: the whole time range to one value a series by `function`, then those to one a group by `total`."""
    labels = ", ".join(f'"{name}"' for name in by)
    return piped(flux, function, f"group(columns: [{labels}])", total)
