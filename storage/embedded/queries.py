"""Store: what the page, the API and the warm start read from the embedded database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import orjson
from numpy.typing import NDArray

from common.storage_errors import StorageCorruptError, StorageFullError
from devices.batch import Batch, ScoredBatch
from devices.records import ActionRecord, AlarmRecord, AlarmState, DeadLetter, DeviceRecord, SeriesRecord
from storage.archive import archive_changes
from storage.archive.archiving import views_with_archive
from storage.archive.parquet_archive import Archive, ArchivedFile
from storage.dead_letters import DeadLetters
from storage.embedded.letter_table import make_letter_table
from storage.embedded.query_watch import QueryStop, QueryWatch, size_of
from storage.embedded.sql_guard import VIEWS, QueryError, check_query
from storage.embedded.stream_tables import stored_streams
from storage.store import SeriesPoints

_TIME_MIN = -(2**63) + 2
_TIME_MAX = 2**63 - 2
_COLUMNS = "series, epoch_ns(time) AS time, value, score, expected, lower, upper, anomaly, late, novelty"
_POINT = "series, time, value, score, expected, lower, upper, anomaly, late"
_SERIES_AT_ONCE = 256

Made = TypeVar("Made")
_LETTER_BYTES = 8 << 20
_ROWS_AT_ONCE = 256
ANSWER_BYTES = 64 << 20
"""Most bytes of a query's answer, where not asked otherwise."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows of a user's query, at most as many as asked for and as fit; `truncated` where there were more."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    truncated: bool


class StoreQueries(ABC):
    """Reads of the embedded database, each in a cursor of its own, so that any thread may call them."""

    path: Path
    archive: Archive | None
    _letters: DeadLetters
    query_timeout: int
    """Nanoseconds after which a query of SQL is stopped."""
    query_memory: int
    """Bytes by which the process may grow before a query of SQL is stopped."""

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

    def series(self) -> list[SeriesRecord]:
        """Every series that is there, in order of its index."""
        return [record for record in self.all_series() if record.gone_at is None]

    def all_series(self) -> list[SeriesRecord]:
        """Every series, those too that were deleted or became part of another, without a gap in their indices."""
        with self._reading() as cursor:
            rows = cursor.execute(
                "SELECT series, device, metric, unit, kind, gone_at FROM stored.series ORDER BY series"
            ).fetchall()
        return [SeriesRecord(*row) for row in rows]

    def exclusion_counts(self, device: str, metric: str, start: int, end: int) -> tuple[int, int]:
        """How many points of a stretch of time (ns) are excluded, and how many are not."""
        counts = []
        with self._reading() as cursor:
            self._show_archive(cursor)
            for table in ("excluded", "points"):
                [(count,)] = cursor.execute(
                    f"SELECT count(*) FROM {table} WHERE device = ? AND metric = ? "
                    "AND time >= make_timestamp_ns(?) AND time < make_timestamp_ns(?)",
                    [device, metric, start, end],
                ).fetchall()
                counts.append(int(count))
        return counts[0], counts[1]

    def exclusions(self, series: int, start: int | None, end: int | None) -> list[tuple[int, int, int]]:
        """The stretches of a series that people left out and that reach into a time (ns): start, end, points in it."""
        low, high = _TIME_MIN if start is None else start, _TIME_MAX if end is None else end
        where = "e.series = ? AND e.first < make_timestamp_ns(?) AND e.beyond > make_timestamp_ns(?)"
        given = [series, high, low]
        with self._reading() as cursor:
            if not cursor.execute(f"SELECT 1 FROM stored.exclusion e WHERE {where} LIMIT 1", given).fetchall():
                return []
            self._show_archive(cursor)
            rows = cursor.execute(
                "SELECT epoch_ns(e.first), epoch_ns(e.beyond), (SELECT count(*) FROM excluded x WHERE "
                "x.device = s.device AND x.metric = s.metric AND x.time >= e.first AND x.time < e.beyond) "
                f"FROM stored.exclusion e JOIN stored.series s USING (series) WHERE {where} ORDER BY 1",
                given,
            ).fetchall()
        return [(int(first), int(beyond), int(points)) for first, beyond, points in rows]

    def devices(self) -> list[DeviceRecord]:
        """What people and rules say of devices, by identity."""
        with self._reading() as cursor:
            rows = cursor.execute(
                "SELECT device, name, labels, epoch_ns(first_seen), epoch_ns(retired_at), merged_into, merged_at, "
                "epoch_ns(muted_at) "
                "FROM stored.device ORDER BY device"
            ).fetchall()
        return [DeviceRecord(row[0], row[1], orjson.loads(row[2]), *row[3:]) for row in rows]

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
        low, high = _TIME_MIN if start is None else start, _TIME_MAX if end is None else end - 1
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

    def alarms(
        self,
        state: AlarmState | None = None,
        series: int | None = None,
        limit: int = 200,
        open_only: bool = False,
    ) -> list[AlarmRecord]:
        """Alarms, the newest first; `open_only` leaves out those that are cleared."""
        conditions, values = ["true"], list[Any]()
        if state is not None:
            conditions.append("state = ?")
            values.append(state.value)
        if series is not None:
            conditions.append("series = ?")
            values.append(series)
        if open_only:
            conditions.append("state <> 'cleared'")
        with self._reading() as cursor:
            rows = cursor.execute(
                "SELECT alarm, series, state, epoch_ns(opened), epoch_ns(cleared), severity, peak_score, value, "
                "expected, reason, parts, acknowledged_by, epoch_ns(acknowledged_at), epoch_ns(shelved_until), "
                f"cleared_reason, note, feedback FROM stored.alarm WHERE {' AND '.join(conditions)} "
                "ORDER BY opened DESC, alarm DESC LIMIT ?",
                [*values, limit],
            ).fetchall()
        return [_alarm(row) for row in rows]

    def actions(self, alarm: int | None = None, limit: int = 200) -> list[ActionRecord]:
        """What people did, the newest first: with one alarm, or with all and beside them."""
        where, values = ("alarm = ?", [alarm]) if alarm is not None else ("true", [])
        with self._reading() as cursor:
            rows = cursor.execute(
                "SELECT position, number, alarm, kind, done_by, epoch_ns(done_at), text, refused FROM stored.action "
                f"WHERE {where} ORDER BY position DESC, number DESC LIMIT ?",
                [*values, limit],
            ).fetchall()
        return [ActionRecord(*row) for row in rows]

    def dead_letters(self, limit: int = 200) -> list[DeadLetter]:
        """Rejected messages, the newest first; fewer than there are where they would fill more than 8 MiB."""
        return self._letters.newest(limit, max_bytes=_LETTER_BYTES)

    def find_dead_letters(
        self, offsets: Sequence[int] = (), *, reason: str = "", limit: int = 1_000
    ) -> list[DeadLetter]:
        """Rejected messages with these offsets, or the newest of a reason, in the order of their arrival."""
        return self._letters.find(offsets, reason=reason, limit=limit)

    def dead_letter_reasons(self) -> dict[str, int]:
        """How many rejected messages are kept, by reason, the most first."""
        return self._letters.reasons()

    def remove_dead_letters(self, offsets: Sequence[int]) -> None:
        """Keep these rejected messages no longer."""
        self._letters.remove(offsets)

    def query(
        self, sql: str, limit: int = 1000, *, max_bytes: int = ANSWER_BYTES, stop: QueryStop | None = None
    ) -> QueryResult:
        """Rows of one SELECT over the views (`storage.embedded.sql_guard`), as far as they fit into `max_bytes`.

        It runs in a read-only transaction without access to files or network, for at most `query_timeout`, and until
        `stop` is asked. Raises QueryError.
        """
        return self._without_damaged(lambda: self._query(sql, limit, max_bytes, stop))

    def _query(self, sql: str, limit: int, max_bytes: int, stop: QueryStop | None) -> QueryResult:
        with self._reading() as cursor:
            watch = QueryWatch(cursor, timeout=self.query_timeout, memory_bytes=self.query_memory, stop=stop)
            with watch.watching():
                try:
                    checked = check_query(cursor, sql, (*VIEWS, *stored_streams(cursor)))
                    if "dead_letters" in checked.views:
                        make_letter_table(cursor, self._letters)
                    self._show_archive(cursor)
                    cursor.execute(sql)
                    columns = [column[0] for column in cursor.description or ()]
                    rows, truncated = _fetch(cursor, limit, max_bytes)
                except duckdb.InterruptException as error:
                    raise QueryError(watch.why or "stopped") from error
                except OverflowError as error:
                    raise QueryError(f"a value is too large to be told ({error}): cast it to VARCHAR") from error
                except duckdb.OutOfMemoryException as error:
                    raise QueryError(f"{_one_line(error)}: ask for less, or raise store.memory_bytes") from error
                except duckdb.Error as error:
                    raise QueryError(_one_line(error)) from error
        return QueryResult(columns, rows, truncated)

    def _show_archive(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Begin a reading transaction in which the views show the archive's points beside the database's."""
        files = self._begin(cursor)
        if files and self.archive is not None:
            shown = archive_changes.shown(cursor, self.archive, files)
            cursor.execute(views_with_archive(shown, archive_changes.left_out(cursor, self.archive, files)))

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


@contextmanager
def database_errors(path: Path, what: str) -> Iterator[None]:
    """Turn DuckDB's errors about the file `path` into StorageFullError, StorageCorruptError or OSError."""
    try:
        yield
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        if "No space left" in str(error) or "Disk quota" in str(error):
            raise StorageFullError(f"{path}: no room left for {what}: the disk is full") from error
        damaged = isinstance(error, duckdb.SerializationException | duckdb.InternalException)
        if damaged or any(sign in text for sign in ("orrupt", "does not match stored checksum", "not a valid DuckDB")):
            raise StorageCorruptError(
                f"{path}: {what}: the file is damaged ({text}); restore it from a backup, or move it away and "
                "replay the journal"
            ) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            text = f"{text}: raise store.memory_bytes"
        raise OSError(f"{path}: {what}: {text}") from error


def _fetch(cursor: duckdb.DuckDBPyConnection, limit: int, max_bytes: int) -> tuple[list[tuple[Any, ...]], bool]:
    """At most `limit` rows that fit into `max_bytes`, and whether there are more. Rows come as they are made."""
    rows: list[tuple[Any, ...]] = []
    room = max_bytes
    while some := cursor.fetchmany(min(_ROWS_AT_ONCE, limit + 1 - len(rows))):
        for row in some:
            room -= size_of(row)
            if len(rows) == limit or room < 0:
                return rows, True
            rows.append(row)
    return rows, False


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


def _alarm(row: Sequence[Any]) -> AlarmRecord:
    alarm, series, state, opened, cleared, severity, peak, value, expected, reason, parts, *people = row
    return AlarmRecord(
        alarm,
        series,
        AlarmState(state),
        opened,
        cleared,
        severity,
        peak,
        value,
        float("nan") if expected is None else expected,
        reason,
        orjson.loads(parts),
        *people,
    )


def _one_line(error: duckdb.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    hint = next((line for line in lines[1:] if line.startswith(("Did you mean", "Candidate"))), "")
    return " ".join(part for part in (lines[0], hint) if part)
