"""Store: points of the embedded database and its archive, as charts and the warm start read them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from common.storage_errors import StorageCorruptError
from devices.batch import Batch, ScoredBatch
from storage.archive import archive_changes
from storage.archive.parquet_archive import Archive, ArchivedFile
from storage.embedded.database_errors import database_errors
from storage.embedded.sql_guard import QueryError
from storage.store import SeriesPoints

TIME_MIN = -(2**63) + 2
TIME_MAX = 2**63 - 2
_COLUMNS = "series, epoch_ns(time) AS time, value, score, expected, lower, upper, anomaly, late, novelty"
_POINT = "series, time, value, score, expected, lower, upper, anomaly, late"
_SERIES_AT_ONCE = 256

Made = TypeVar("Made")


class PointQueries(ABC):
    """Reads of points, from tables and archive, each in a cursor of its own, so that any thread may call them."""

    path: Path
    archive: Archive | None

    @property
    @abstractmethod
    def archived(self) -> tuple[ArchivedFile, ...]:
        """The files of the archive, in order of day."""

    @abstractmethod
    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A new cursor on the open database."""

    @abstractmethod
    def _begin(self, cursor: duckdb.DuckDBPyConnection) -> tuple[ArchivedFile, ...]:
        """Begin a reading transaction, and return the files that hold the points that it does not see in tables."""

    @abstractmethod
    def _newest_points(self, series: Sequence[int] | None) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Those of `series` (of all) that have points, in order, and the time of the newest point of each."""

    def points(
        self, series: int, start: int | None = None, end: int | None = None, max_points: int | None = None
    ) -> SeriesPoints:
        """Points of one series from `start` up to and without `end` (ns since the epoch), in time order.

        Where there are more than `max_points`, the span is cut into `max_points // 2` equal stretches of time, and of
        each the least and the greatest value stay, beside every anomaly: a chart of them looks like a chart of all.
        """
        if max_points is not None and max_points < 2:
            raise ValueError(f"max_points is {max_points}: expected 2 or more")
        return self._without_damaged(lambda: self._points(series, start, end, max_points))

    def _points(self, series: int, start: int | None, end: int | None, max_points: int | None) -> SeriesPoints:
        low, high = TIME_MIN if start is None else start, TIME_MAX if end is None else end - 1
        where = (
            f"series = {int(series)} AND time BETWEEN make_timestamp_ns({int(low)}) AND make_timestamp_ns({int(high)})"
        )
        missing = ""
        with self._reading() as cursor:
            source = "stored.point"
            files = [file for file in self._begin(cursor) if file.first <= high and file.last >= low]
            if files and self.archive is not None:
                relation = archive_changes.shown(cursor, self.archive, files)
                source = (
                    f"(SELECT {_POINT}, novelty FROM stored.point "
                    f"UNION ALL SELECT {_POINT}, NULL::FLOAT AS novelty FROM {relation})"
                )
                missing = "" if all(map(self.archive.is_usable, files)) else self.archive.problem
            total, first, last = cursor.execute(
                f"SELECT count(*), epoch_ns(min(time)), epoch_ns(max(time)) FROM {source} WHERE {where}"
            ).fetchall()[0]
            query = f"SELECT {_COLUMNS} FROM {source} WHERE {where}"
            if max_points is not None and total > max_points:
                stretch = (last - first) // (max_points // 2) + 1
                query = f"""
                    WITH p AS MATERIALIZED ({query}), kept AS (
                        SELECT arg_min(time, value) AS low, arg_max(time, value) AS high FROM p
                        GROUP BY (time - {first}) // {stretch}
                    )
                    SELECT * FROM p
                    WHERE anomaly OR time IN (SELECT low FROM kept UNION ALL SELECT high FROM kept)
                """
            columns = cursor.execute(f"{query} ORDER BY time").fetchnumpy()
        return replace(_series_points(_scored(columns), int(total)), missing=missing)

    def latest(self, series: Sequence[int] | None = None) -> ScoredBatch:
        """The newest point of each of `series` (of all by default) that has any, in order of series."""
        wanted, newest = self._newest_points(series)
        if not len(wanted):
            return ScoredBatch.unscored(Batch.empty(), late=False)
        with self._reading() as cursor:
            cursor.register("wanted", {"series": wanted, "time": newest.view("datetime64[ns]")})
            columns = cursor.execute(
                f"SELECT {_COLUMNS} FROM (FROM stored.point SEMI JOIN wanted USING (series, time) "
                "WHERE time BETWEEN make_timestamp_ns(?) AND make_timestamp_ns(?)) ORDER BY series",
                [int(newest.min()), int(newest.max())],
            ).fetchnumpy()
        return _scored(columns)

    def sparklines(self, n: int, series: Sequence[int] | None = None) -> dict[int, SeriesPoints]:
        """The last `n` points, the oldest first, of each of `series` (of all by default) that has any."""
        wanted, _ = self._newest_points(series)
        return {int(batch.series[0]): _series_points(batch, len(batch)) for batch in self._last(wanted, n)}

    def history(self, n: int) -> Iterator[tuple[int, SeriesPoints]]:
        """The last `n` points of each series in time order, series by series: what detectors warm up on.

        Series are read some hundred at a time, so that memory stays bounded.
        """
        wanted, _ = self._newest_points(None)
        for start in range(0, len(wanted), _SERIES_AT_ONCE):
            for batch in self._last(wanted[start : start + _SERIES_AT_ONCE], n):
                yield int(batch.series[0]), _series_points(batch, len(batch))

    def _last(self, series: NDArray[np.int32], n: int) -> list[ScoredBatch]:
        if n < 1:
            raise ValueError(f"the last {n} points were asked for: expected 1 or more")
        if not len(series):
            return []
        with self._reading() as cursor:
            cursor.register("wanted", {"series": series})
            columns = cursor.execute(
                f"""
                WITH since AS (
                    SELECT series, list_min(max(time, {int(n)})) AS start
                    FROM stored.point SEMI JOIN wanted USING (series) GROUP BY series
                )
                SELECT {_COLUMNS} FROM stored.point JOIN since USING (series) WHERE time >= start ORDER BY series, time
                """
            ).fetchnumpy()
        batch = _scored(columns)
        edges = np.flatnonzero(np.diff(batch.series)) + 1
        bounds = [0, *edges.tolist(), len(batch)]
        return [batch.take(np.arange(a, b)) for a, b in pairwise(bounds) if b > a]

    def _without_damaged(self, work: Callable[[], Made]) -> Made:
        """What `work` returns; again, without files of the archive that turn out to be damaged, where it fails by them.

        What fails otherwise is raised as it is.
        """
        try:
            return work()
        except (QueryError, StorageCorruptError, OSError) as error:
            by_file = isinstance(error.__cause__, duckdb.IOException) or "arquet" in f"{error} {error.__cause__}"
            if self.archive is None or not by_file or not self.archive.find_damaged(self.archived):
                raise
            return work()

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with database_errors(self.path, "reading the database"), self._cursor() as cursor:
            yield cursor


def _scored(columns: dict[str, NDArray[Any]]) -> ScoredBatch:
    def floats(name: str) -> NDArray[np.float64]:
        return np.ma.filled(np.ma.asarray(columns[name]).astype(np.float64), np.nan)

    return ScoredBatch(
        np.asarray(columns["series"], np.int32),
        np.asarray(columns["time"], np.int64),
        floats("value"),
        floats("score"),
        floats("expected"),
        floats("lower"),
        floats("upper"),
        np.asarray(columns["anomaly"], np.bool_),
        np.asarray(columns["late"], np.bool_),
        floats("novelty"),
    )


def _series_points(batch: ScoredBatch, total: int) -> SeriesPoints:
    return SeriesPoints(
        batch.time,
        batch.value,
        batch.score,
        batch.expected,
        batch.lower,
        batch.upper,
        batch.anomaly,
        total,
        novelty=batch.novelty,
    )
