"""A score added up: over all, by kind of fault, by world, by detector; as tables and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alerts.alarm_step import SILENT
from tuning.corpora import Card
from tuning.intervals import Figure, mean, median, rate, share
from tuning.scorecard import AlarmOutcome, FaultOutcome, Score, Verdict

STUCK_KINDS = ("stuck", "silent death")


@dataclass(frozen=True, slots=True)
class Figures:
    """What is said of a group of faults and alarms.

    `found` is the share of faults that can be seen with an alarm (recall); `first` and `again` those of first
    occurrences and of recurrences. Delays are medians over the faults found that are there at once. `open_share` is the
    mean share of a fault's time that an alarm was open, those not found included. `false_rate` counts false alarms a
    sensor and week after the learning time, `false_rate_learning` within it.
    """

    faults: int
    unseen: int
    found: Figure
    first: Figure
    again: Figure
    delay_readings: Figure
    delay_seconds: Figure
    open_share: Figure
    alarms_a_fault: Figure
    precision: Figure
    f1: float
    false_rate: Figure
    false_rate_learning: Figure

    def json(self) -> dict[str, Any]:
        """For a JSON file."""
        found: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, Figure):
                value = value.json()
            elif isinstance(value, float):
                value = None if math.isnan(value) else round(value, 4)
            found[name] = value
        return found


@dataclass(frozen=True, slots=True)
class MissedKind:
    """Of a kind, how many of the `faults` that can be seen were missed, `why` with the number of each, and the median
    of the highest scores while they lasted; NaN where there were none.
    """

    kind: str
    missed: int
    faults: int
    why: Mapping[str, int]
    peak: float

    def json(self) -> dict[str, Any]:
        """For a JSON file."""
        peak = None if math.isnan(self.peak) else round(self.peak, 2)
        return {"kind": self.kind, "missed": self.missed, "faults": self.faults, "why": dict(self.why), "peak": peak}


def figures(
    faults: Sequence[FaultOutcome], alarms: Sequence[AlarmOutcome], weeks: float, learning_weeks: float
) -> Figures:
    """The figures of a group of faults, and of the alarms raised over so many sensor-weeks."""
    seen = [fault for fault in faults if not fault.unseen]
    found = [fault for fault in seen if fault.found]
    abrupt = [fault for fault in found if fault.abrupt]
    later = [alarm for alarm in alarms if not alarm.learning]
    true = sum(alarm.verdict is Verdict.TRUE for alarm in later)
    false = sum(alarm.verdict is Verdict.FALSE for alarm in later)
    early = sum(alarm.verdict is Verdict.FALSE for alarm in alarms if alarm.learning)
    recall, precision = share(len(found), len(seen)), share(true, true + false)
    both = recall.value + precision.value
    return Figures(
        len(faults),
        len(faults) - len(seen),
        recall,
        share(*_hits([fault for fault in seen if fault.occurrence == 0])),
        share(*_hits([fault for fault in seen if fault.occurrence > 0])),
        median([fault.delay_readings for fault in abrupt]),
        median([fault.delay_seconds for fault in abrupt]),
        mean([fault.open_share for fault in seen], highest=1.0),
        mean([fault.alarms for fault in found]),
        precision,
        2 * recall.value * precision.value / both if both > 0 else math.nan,
        rate(false, weeks),
        rate(early, learning_weeks),
    )


def overall(score: Score) -> Figures:
    """Everything."""
    return figures(score.faults, score.alarms, sum(score.sensor_weeks.values()), sum(score.learning_weeks.values()))


def by_kind(score: Score) -> dict[str, Figures]:
    """By kind of fault; alarms and false ones are nobody's here."""
    kinds = sorted({fault.kind for fault in score.faults})
    return {kind: figures([f for f in score.faults if f.kind == kind], (), 0.0, 0.0) for kind in kinds}


def by_world(score: Score) -> dict[str, Figures]:
    """By world."""
    return {
        world: figures(
            [f for f in score.faults if f.world == world],
            [a for a in score.alarms if a.world == world],
            weeks,
            score.learning_weeks.get(world, 0.0),
        )
        for world, weeks in score.sensor_weeks.items()
    }


def by_detector(score: Score) -> dict[str, Figures]:
    """By the detector that raised the alarm: its precision and its false alarms; faults are those it was first at."""
    names = sorted({outcome.alarm.detector for outcome in score.alarms})
    weeks, learning = sum(score.sensor_weeks.values()), sum(score.learning_weeks.values())
    return {
        name: figures(
            [f for f in score.faults if f.found_by == name],
            [a for a in score.alarms if a.alarm.detector == name],
            weeks,
            learning,
        )
        for name in names
    }


def unseen_reasons(score: Score) -> list[tuple[str, str, int]]:
    """Kind, reason and number of the faults that nothing could see."""
    counted = Counter((fault.kind, fault.unseen) for fault in score.faults if fault.unseen)
    return [(kind, why, number) for (kind, why), number in sorted(counted.items())]


def missed_reasons(score: Score) -> list[MissedKind]:
    """The kinds of which any was missed that can be seen, those of the largest share first."""
    found = []
    for kind in sorted({fault.kind for fault in score.faults}):
        seen = [fault for fault in score.faults if fault.kind == kind and not fault.unseen]
        missed = [fault for fault in seen if not fault.found]
        if missed:
            why = dict(Counter(fault.missed or "no alarm opened" for fault in missed).most_common())
            peak = median([fault.peak for fault in missed]).value
            found.append(MissedKind(kind, len(missed), len(seen), why, peak))
    return sorted(found, key=lambda one: -one.missed / one.faults)


def cards(score: Score, *, title: str = "Score card") -> list[Card]:
    """The tables that a person reads; those without a row are left out."""
    total = overall(score)
    head = ["figure", "value", "target"]
    summary = [
        ["faults", f"{total.faults}, of which {total.unseen} cannot be seen", ""],
        ["found (recall)", total.found.text(), "0.85"],
        ["found, first occurrences", total.first.text(), ""],
        ["found, recurrences", total.again.text(), "within 0.05 of the first"],
        ["precision", total.precision.text(), "0.90"],
        ["precision, the silence of devices apart", _precision(score, SILENT).text(), ""],
        ["F1", "-" if math.isnan(total.f1) else f"{total.f1:.2f}", ""],
        ["share of a fault's time with an alarm open", total.open_share.text(), "0.80"],
        ["alarms a fault", total.alarms_a_fault.text(), "1.1"],
        ["delay of abrupt kinds, readings (median)", total.delay_readings.text(0), "10"],
        ["delay of abrupt kinds, seconds (median)", total.delay_seconds.text(0), ""],
        ["false alarms a sensor-week", total.false_rate.text(), ""],
        ["false alarms a sensor-week, learning time", total.false_rate_learning.text(), ""],
        ["stuck and silent death found", _found(score, STUCK_KINDS).text(), "0.95"],
    ]
    tables = [
        Card(title, head, summary),
        _table("By kind of fault", "kind", by_kind(score), _KIND_COLUMNS),
        _table("By world", "world", by_world(score), _WORLD_COLUMNS),
        _table("By what raised the alarm first", "detector", by_detector(score), _DETECTOR_COLUMNS),
        Card("Kinds missed, and why", ["kind", "missed", "why", "highest score (median)"],
             [_missed_row(one) for one in missed_reasons(score)]),
        Card("Faults that only knowing the past cannot see", ["kind", "why", "faults"],
             [list(row) for row in unseen_reasons(score)]),
    ]  # fmt: skip
    return [table for table in tables if table.rows]


def as_json(score: Score, about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything for a JSON file, `about` first: how it was made."""
    return {
        **about,
        "readings": score.readings,
        "sensor_weeks": round(sum(score.sensor_weeks.values()), 1),
        "overall": overall(score).json(),
        "kinds": {name: group.json() for name, group in by_kind(score).items()},
        "worlds": {name: group.json() for name, group in by_world(score).items()},
        "detectors": {name: group.json() for name, group in by_detector(score).items()},
        "missed": [one.json() for one in missed_reasons(score)],
        "unseen": [{"kind": kind, "why": why, "faults": number} for kind, why, number in unseen_reasons(score)],
    }


_Column = tuple[str, Callable[[Figures], Any]]
_KIND_COLUMNS: tuple[_Column, ...] = (
    ("faults", lambda f: f.faults - f.unseen),
    ("found", lambda f: f.found.text()),
    ("first", lambda f: _short(f.first)),
    ("again", lambda f: _short(f.again)),
    ("delay, readings", lambda f: _short(f.delay_readings, 0)),
    ("delay, s", lambda f: _short(f.delay_seconds, 0)),
    ("open", lambda f: _short(f.open_share)),
    ("alarms a fault", lambda f: _short(f.alarms_a_fault)),
)
_WORLD_COLUMNS: tuple[_Column, ...] = (
    *_KIND_COLUMNS[:2],
    ("open", lambda f: _short(f.open_share)),
    ("precision", lambda f: f.precision.text()),
    ("F1", lambda f: "-" if math.isnan(f.f1) else f"{f.f1:.2f}"),
    ("false a sensor-week", lambda f: f.false_rate.text()),
    ("while learning", lambda f: _short(f.false_rate_learning)),
)
_DETECTOR_COLUMNS: tuple[_Column, ...] = (
    ("faults it was first at", lambda f: f.faults),
    ("precision", lambda f: f.precision.text()),
    ("false a sensor-week", lambda f: f.false_rate.text()),
    ("while learning", lambda f: _short(f.false_rate_learning)),
)


def _table(title: str, first: str, groups: Mapping[str, Figures], columns: Sequence[_Column]) -> Card:
    rows = [[name or "-", *(value(group) for _, value in columns)] for name, group in groups.items()]
    return Card(title, [first, *(name for name, _ in columns)], rows)


def _missed_row(one: MissedKind) -> list[str]:
    why = "; ".join(f"{cause} ({number})" for cause, number in one.why.items())
    return [one.kind, f"{one.missed} of {one.faults}", why, "-" if math.isnan(one.peak) else f"{one.peak:.1f}"]


def _short(figure: Figure, digits: int = 2) -> str:
    return "-" if math.isnan(figure.value) else f"{figure.value:.{digits}f}"


def _found(score: Score, kinds: Sequence[str]) -> Figure:
    return share(*_hits([f for f in score.faults if f.kind in kinds and not f.unseen]))


def _precision(score: Score, without: str) -> Figure:
    """The precision of all alarms but those of one detector."""
    kept = [one.verdict for one in score.alarms if not one.learning and one.alarm.detector != without]
    true = sum(verdict is Verdict.TRUE for verdict in kept)
    return share(true, true + sum(verdict is Verdict.FALSE for verdict in kept))


def _hits(faults: Sequence[FaultOutcome]) -> tuple[int, int]:
    return sum(fault.found for fault in faults), len(faults)
