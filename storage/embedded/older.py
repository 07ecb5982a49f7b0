"""Store: reads of the embedded database that go on in an external one, where the embedded one's points begin."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from storage.archive import archive_changes
from storage.embedded.queries import StoreQueries
from storage.external.reader_parts import ExternalReader
from storage.store import SeriesPoints

_COLUMNS = [field.name for field in fields(SeriesPoints) if field.name not in {"total", "missing"}]


class QueriesWithOlder(StoreQueries):
    """`StoreQueries` whose points and history reach back behind what the embedded database and its archive hold.

    The two never overlap: a series is read from `older` up to where the embedded database has all of it.
    """

    older: ExternalReader | None
    """The external database; None: what the embedded one does not have is not there."""

    @abstractmethod
    def _complete_from(self, series: int) -> int | None:
        """The time (ns) from which on all points of a series are here; None where none of it was ever stored."""

    def points(
        self, series: int, start: int | None = None, end: int | None = None, max_points: int | None = None
    ) -> SeriesPoints:
        """As `StoreQueries.points`; each of two databases gives at most `max_points` and the anomalies.

        Where the external database does not answer, its points are left out and `missing` says so.
        """
        begins = None if self.older is None else self._complete_from(series)
        if self.older is None or begins is None or (start is not None and start >= begins):
            return super().points(series, start, end, max_points)
        until = begins if end is None else min(end, begins)
        # Of what the external database rounded down, what stands at `begins` here is no second point.
        limit = self._until(until) if until == begins else until
        try:
            empty = start is not None and start >= limit
            before = _nothing("") if empty else self.older.points_of(*self._name(series), start, limit, max_points)
        except OSError as error:
            before = _nothing(f"points before {np.datetime64(until, 'ns').astype('datetime64[s]')}Z: {error}")
        return before if until == end else joined(before, super().points(series, begins, end, max_points))

    def history(self, n: int) -> Iterator[tuple[int, SeriesPoints]]:
        """As `StoreQueries.history`; once the external database does not answer, it is not asked again."""
        missing = ""
        for series, points in super().history(n):
            if self.older is None or points.total >= n:
                yield series, points
                continue
            before = _nothing(missing)
            if not missing:
                begins = self._until(int(points.time[0]))
                try:
                    before = self.older.last_of(*self._name(series), n - points.total, begins)
                except OSError as error:
                    missing = str(error)
                    before = _nothing(missing)
            yield series, joined(before, points)

    def _until(self, end: int) -> int:
        """The end of a stretch there: what the embedded database has at `end` stands there rounded down."""
        return end - (self.older.resolution - 1 if self.older is not None else 0)

    def _name(self, series: int) -> tuple[str, str]:
        with self._reading() as cursor:
            [name] = cursor.execute("SELECT device, metric FROM stored.series WHERE series = ?", [series]).fetchall()
        return str(name[0]), str(name[1])

    def _first_time(self, series: int) -> int | None:
        """The time of the first point of a series in database and archive, None where there is none."""
        return self._without_damaged(lambda: self._first_time_of(series))

    def _first_time_of(self, series: int) -> int | None:
        with self._reading() as cursor:
            source = "stored.point"
            files = self._begin(cursor)
            if files and self.archive is not None:
                relation = archive_changes.shown(cursor, self.archive, files)
                source = f"(SELECT series, time FROM {source} UNION ALL SELECT series, time FROM {relation})"
            query = f"SELECT epoch_ns(min(time)) FROM {source} WHERE series = {int(series)}"
            first = cursor.execute(query).fetchall()[0][0]
        return None if first is None else int(first)


def joined(before: SeriesPoints, after: SeriesPoints) -> SeriesPoints:
    """Points of two stretches of time, one after the other."""
    columns = {name: np.concatenate([getattr(before, name), getattr(after, name)]) for name in _COLUMNS}
    return SeriesPoints(**columns, total=before.total + after.total, missing=before.missing or after.missing)


def _nothing(missing: str) -> SeriesPoints:
    none = np.empty(0)
    return SeriesPoints(np.empty(0, np.int64), none, none, none, none, none, np.empty(0, np.bool_), 0, missing)
