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
from common.durations import parse_duration
from common.time_units import DAY
from devices.records import AlarmRecord, SeriesRecord
from ingest.silence import DEVICE_METRIC
from storage.embedded.queries import StoreQueries
from storage.storage_settings import ArchiveSettings, StoreSettings

_MOST_ALARMS = 100_000
_NEARLY_WHOLE = 0.9


@dataclass(frozen=True, slots=True)
class Storage:
    """What lies on disk: bytes of the data folder, of which the readings of the time took about `grown`, and what is
    free. `readings` is how many the time brought, `stored` how many there are. `days` is how long the time is, from the
    first of its readings on; a reading stays `kept_days`, or for good where that is None."""

    bytes: int
    free: int
    readings: int
    stored: int
    days: float
    is_short: bool
    kept_days: float | None

    @property
    def grown(self) -> float:
        """Bytes that the readings of the time take, at the mean size of a reading."""
        return self.bytes * self.readings / self.stored if self.stored else 0.0

    @property
    def a_day(self) -> float | None:
        """Bytes that a day's readings take; None where there are readings of less than a day."""
        return None if self.is_short else self.grown / self.days

    @property
    def full_size(self) -> float | None:
        """Bytes of the data folder once as many readings leave it as come; None where that is never or not known."""
        return None if self.a_day is None or self.kept_days is None else max(self.bytes, self.a_day * self.kept_days)

    @property
    def days_left(self) -> float | None:
        """Days until the disk is full; None where it never is, or where that cannot be told yet."""
        fits = self.full_size is not None and self.full_size - self.bytes <= self.free
        return None if not self.a_day or fits else self.free / self.a_day


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


def kept_for(store: StoreSettings, archive: ArchiveSettings) -> int | None:
    """How long (ns) a reading stays on the disk of this machine; None where it stays for good."""
    if not archive.folder:
        return parse_duration(store.keep)
    if archive.folder.startswith("s3://"):
        return parse_duration(archive.after) + DAY  # Whole days leave.
    return None if archive.keep is None else parse_duration(archive.keep)


def make_report(
    store: StoreQueries, settings: AlarmSettings, folder: Path, start: int, end: int, *, kept: int | None = None
) -> Report:
    """The report of what is stored in `store`, whose files lie in `folder` and keep a reading for `kept` (ns), or for
    good. Raises OSError."""
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
        figures=alarm_figures(alarms, start, end, [first_seen.get(record.device) for record in series]),
        names=names,
        right=sum(alarm.feedback == "right" for alarm in within),
        wrong=sum(alarm.feedback in ("wrong", "expected") for alarm in within),
        budget=settings.budget if threshold is None else f"a fixed threshold of {threshold:g}",
        uses=budget_uses(scored, within, settings, start, end, since=first_seen.get),
        silent=_silent(alarms, series),
        storage=_storage(store, folder, start, end, kept),
    )


def _silent(alarms: Sequence[AlarmRecord], series: Sequence[SeriesRecord]) -> list[Silent]:
    records = {record.series: record for record in series}
    found = [alarm for alarm in alarms if alarm.cleared is None and SILENT in alarm.parts]
    of = [(records[alarm.series], alarm) for alarm in sorted(found, key=lambda alarm: alarm.opened)]
    return [
        Silent(record.device, "" if record.metric == DEVICE_METRIC else record.metric, alarm.opened, alarm.reason)
        for record, alarm in of
    ]


def _storage(store: StoreQueries, folder: Path, start: int, end: int, kept: int | None) -> Storage:
    sql = ("SELECT count(*), count(*) FILTER (WHERE {0}), epoch_ns(min(time) FILTER (WHERE {0})) FROM points").format(
        f"time >= make_timestamp_ns({start}) AND time < make_timestamp_ns({end})"
    )
    [[stored, readings, first]] = store.query(sql, 1).rows
    since = end if first is None else int(first)
    # Readings that are a while apart do not make a whole time short.
    is_short = since >= end or end - since < min(DAY, (end - start) * _NEARLY_WHOLE)
    size = sum(_size(path) for path in folder.rglob("*") if path.is_file())
    return Storage(
        bytes=size,
        free=shutil.disk_usage(folder).free,
        readings=int(readings),
        stored=int(stored),
        days=(end - since) / DAY,
        is_short=is_short,
        kept_days=None if kept is None else kept / DAY,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
