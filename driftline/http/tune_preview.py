"""A device's last days judged or scored again under other settings, as the API tells it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

from alerts.marked_stretches import MarkedStretch
from common.time_units import DAY
from devices.records import AlarmRecord, SeriesRecord
from driftline.http.errors import unknown
from driftline.http.view import ServiceView
from ingest.knowledge_settings import KnowledgeSettings
from ingest.rows import PREFIX
from storage.store import SeriesPoints
from tuning.against_marks import Against, against
from tuning.candidate import Candidate
from tuning.feedback_effect import is_kept
from tuning.preview import Preview, preview
from tuning.rescoring import Work, rescored

_MOST_ALARMS = 10_000
_KEPT_SECONDS = 20.0
_WARM_UP = 7 * DAY
"""Of what is scored again, so much before the days looked at is learned from, and not judged."""


class Pasts:
    """Keeps the past that was looked at last for some seconds, so that dragging a budget reads it once."""

    def __init__(self, view: ServiceView, clock: Callable[[], float] = monotonic) -> None:
        self._view = view
        self._clock = clock
        self._kept: tuple[str, float, float, Past] | None = None

    def of(self, device: str, days: float) -> Past:
        """The last days of a device. Raises ApiError where there is no such device."""
        kept, now = self._kept, self._clock()
        if kept is not None and kept[:2] == (device, days) and now < kept[2]:
            return kept[3]
        past = Past(self._view, device, days)
        self._kept = (device, days, now + _KEPT_SECONDS, past)
        return past


class Past:
    """The last days of a device. Raises ApiError where there is no such device."""

    def __init__(self, view: ServiceView, device: str, days: float) -> None:
        self._view = view
        self._device = device
        known = view.store.series()
        self._records = [record for record in known if record.device == device]
        if not self._records:
            raise unknown("device", device, {record.device for record in known})
        newest = view.store.latest([record.series for record in self._records])
        self._end = int(newest.time.max()) + 1 if len(newest) else view.counts().time
        self._start = self._end - int(days * DAY)
        self._stored: dict[SeriesRecord, SeriesPoints] | None = None

    def judged(self, candidate: Candidate) -> dict[str, Any]:
        """Stored scores judged again: for a candidate that changes no score."""
        return self._reply(candidate, self._points_looked_at(), scored_again=False)

    def rescored(self, candidate: Candidate, work: Work) -> dict[str, Any]:
        """Readings that the candidate is about scored again, the others' stored scores judged again."""
        about = [r for r in self._records if candidate.is_about(r.metric) and not r.metric.startswith(PREFIX)]
        columns = {r.metric: p for r, p in self._points(about, self._start - _WARM_UP).items()}
        points = dict(self._points_looked_at())
        if columns:
            in_force = [self._view.series_settings(record.series) for record in about]
            series = [candidate.series_settings(self._device), *in_force]
            alarm, detectors = self._view.alarm_settings(), self._view.detectors()
            again = rescored(self._device, columns, series, detectors, alarm, progress=work.tell)
            points |= {r: _from(again[r.metric], self._start) for r in about if r.metric in again}
        return self._reply(candidate, points, scored_again=bool(columns))

    def _points_looked_at(self) -> Mapping[SeriesRecord, SeriesPoints]:
        if self._stored is None:
            self._stored = self._points(self._records, self._start)
        return self._stored

    def _points(self, records: Iterable[SeriesRecord], start: int) -> dict[SeriesRecord, SeriesPoints]:
        found = {record: self._view.store.points(record.series, start, self._end) for record in records}
        return {record: points for record, points in found.items() if len(points.time)}

    def _reply(
        self, candidate: Candidate, points: Mapping[SeriesRecord, SeriesPoints], *, scored_again: bool
    ) -> dict[str, Any]:
        view, settings = self._view, self._view.alarm_settings()
        marked = view.marked_stretches(self._device)
        replies, total, alarms = [], Against(), 0
        for record, columns in points.items():
            budget = candidate.budget_of(settings, self._device, record.metric)
            would = preview(columns, settings, budget=budget, minimum=view.minimum(record.series))
            were = self._were(record)
            own = [each for each in marked if each.metric == record.metric]
            total += against(would.alarms, were, own, self._end)
            alarms += len(would.alarms)
            replies.append(self._series_reply(record, would, were, own))
        now = settings.budget_of(self._device, candidate.metric or "*")
        first = min((int(columns.time[0]) for columns in points.values()), default=self._start)
        return {
            "start": max(self._start, first),
            "end": self._end,
            "budget": candidate.budget or now,
            "budget_now": now,
            "rescored": scored_again,
            "verdict": total.sentence(alarms),
            "detectors": list(view.detectors()),
            "series": replies,
        }

    def _were(self, record: SeriesRecord) -> list[AlarmRecord]:
        found = self._view.store.alarms(series=record.series, limit=_MOST_ALARMS)
        return [alarm for alarm in reversed(found) if alarm.opened >= self._start]

    def _series_reply(
        self, record: SeriesRecord, would: Preview, were: list[AlarmRecord], marked: list[MarkedStretch]
    ) -> dict[str, Any]:
        settings = self._view.series_settings(record.series)
        return {
            "series": record.series,
            "metric": record.metric,
            "unit": record.unit,
            "threshold": would.threshold,
            "threshold_now": self._view.threshold(record.series),
            "budget_now": self._view.alarm_settings().budget_of(self._device, record.metric),
            "facts": settings.model_dump(mode="json", include=set(KnowledgeSettings.model_fields)),
            "detectors": settings.detectors or [],
            "were": [_was(alarm, is_kept(alarm, would.alarms)) for alarm in were],
            "would": [dataclasses.asdict(alarm) for alarm in would.alarms],
            "marked": mark_replies(marked, record.metric),
        }


def mark_replies(marked: Iterable[MarkedStretch], metric: str) -> list[dict[str, Any]]:
    """The stretches of one metric as the API gives them."""
    return [
        {"start": each.start, "end": each.end, "mark": each.mark, "by": each.by}
        for each in marked
        if each.metric == metric
    ]


def _was(alarm: AlarmRecord, kept: bool) -> dict[str, Any]:
    return {
        "alarm": alarm.alarm,
        "opened": alarm.opened,
        "cleared": alarm.cleared,
        "reason": alarm.reason,
        "feedback": alarm.feedback,
        "kept": kept,
    }


def _from(points: SeriesPoints, start: int) -> SeriesPoints:
    """The points from a time on."""
    rows = points.time >= start
    columns = ("time", "value", "score", "expected", "lower", "upper", "anomaly")
    cut = {name: getattr(points, name)[rows] for name in columns}
    return SeriesPoints(**cut, total=int(rows.sum()), missing=points.missing)
