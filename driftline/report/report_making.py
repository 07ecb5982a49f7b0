"""Gathers a report from what is stored, whether or not the service runs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alerts.alarm_settings import AlarmSettings
from alerts.alarm_step import SILENT
from alerts.budget_use import BudgetUses, budget_uses
from alerts.channel_alarms import OWN_DEVICE
from alerts.figures import AlarmFigures, alarm_figures
from common.time_units import DAY
from devices.records import AlarmRecord, SeriesRecord
from ingest.silence import DEVICE_METRIC
from storage.embedded.queries import StoreQueries

_MOST_ALARMS = 100_000


@dataclass(frozen=True, slots=True)
class Storage:
    """What lies on disk: bytes of the data folder, of which the readings of the time took about `grown`, and what is
    free. `readings` is how many the time brought, `stored` how many there are."""

    bytes: int
    free: int
    readings: int
    stored: int

    @property
    def grown(self) -> float:
        """Bytes that the readings of the time take, at the mean size of a reading."""
        return self.bytes * self.readings / self.stored if self.stored else 0.0


@dataclass(frozen=True, slots=True)
class Silent:
    """A device, or one metric of it, that is silent at the end of the time; `since` in ns."""

    device: str
    metric: str
    since: int
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of the time from `start` up to `end`, ns. `names` are the device and metric of each series."""

    start: int
    end: int
    figures: AlarmFigures
    names: dict[int, tuple[str, str]]
    right: int
    wrong: int
    budget: str
    uses: BudgetUses
    silent: list[Silent]
    storage: Storage

    @property
    def days(self) -> float:
        """How long the time is."""
        return (self.end - self.start) / DAY


def make_report(store: StoreQueries, settings: AlarmSettings, folder: Path, start: int, end: int) -> Report:
    """The report of what is stored in `store`, whose files lie in `folder`. Raises OSError."""
    series = [record for record in store.series() if record.device != OWN_DEVICE]
    names = {record.series: (record.device, record.metric) for record in series}
    alarms = [alarm for alarm in store.alarms(limit=_MOST_ALARMS) if alarm.series in names]
    first_seen = {device.device: device.first_seen for device in store.devices()}
    scored = [record for record in series if record.metric != DEVICE_METRIC]
    within = [alarm for alarm in alarms if start <= alarm.opened < end]
    threshold = settings.threshold
    return Report(
        start=start,
        end=end,
        figures=alarm_figures(alarms, start, end),
        names=names,
        right=sum(alarm.feedback == "right" for alarm in within),
        wrong=sum(alarm.feedback in ("wrong", "expected") for alarm in within),
        budget=settings.budget if threshold is None else f"a fixed threshold of {threshold:g}",
        uses=budget_uses(scored, within, settings, start, end, since=first_seen.get),
        silent=_silent(alarms, series),
        storage=_storage(store, folder, start, end),
    )


def _silent(alarms: Sequence[AlarmRecord], series: Sequence[SeriesRecord]) -> list[Silent]:
    records = {record.series: record for record in series}
    found = [alarm for alarm in alarms if alarm.cleared is None and SILENT in alarm.parts]
    of = [(records[alarm.series], alarm) for alarm in sorted(found, key=lambda alarm: alarm.opened)]
    return [
        Silent(record.device, "" if record.metric == DEVICE_METRIC else record.metric, alarm.opened, alarm.reason)
        for record, alarm in of
    ]


def _storage(store: StoreQueries, folder: Path, start: int, end: int) -> Storage:
    sql = (
        "SELECT count(*), count(*) FILTER (WHERE time >= make_timestamp_ns({}) AND time < make_timestamp_ns({})) "
        "FROM points"
    )
    [[stored, readings]] = store.query(sql.format(start, end), 1).rows
    size = sum(_size(path) for path in folder.rglob("*") if path.is_file())
    return Storage(size, shutil.disk_usage(folder).free, int(readings), int(stored))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
