"""Store: what the page, the API and the warm start read from the embedded database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson

from devices.records import ActionRecord, AlarmRecord, AlarmState, DeadLetter, DeviceRecord, SeriesRecord
from storage.archive import archive_changes
from storage.archive.archiving import views_with_archive
from storage.dead_letters import DeadLetters
from storage.embedded.letter_table import make_letter_table
from storage.embedded.point_queries import TIME_MAX, TIME_MIN, PointQueries
from storage.embedded.query_watch import QueryStop, QueryWatch, size_of
from storage.embedded.sql_cost import check_cost
from storage.embedded.sql_guard import VIEWS, QueryError, check_query, query_nodes
from storage.embedded.stream_tables import stored_streams

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


class StoreQueries(PointQueries):
    """Reads of the embedded database, each in a cursor of its own, so that any thread may call them."""

    _letters: DeadLetters
    query_timeout: int
    """Nanoseconds after which a query of SQL is stopped."""
    query_memory: int
    """Bytes by which the process may grow before a query of SQL is stopped."""

    def series(self) -> list[SeriesRecord]:
        """Every series that is there, in order of its index."""
        return [record for record in self.all_series() if record.gone_at is None]

    def all_series(self) -> list[SeriesRecord]:
        """Every series, those too that were deleted or became part of another, without a gap in their indices."""
        return self._series("true", [])

    def series_numbered(self, numbers: Collection[int]) -> dict[int, SeriesRecord]:
        """The series of these numbers that are there, by number."""
        found = self._series("gone_at IS NULL AND series IN (SELECT unnest($1))", [list(numbers)])
        return {record.series: record for record in found}

    def series_of_device(self, device: str) -> list[SeriesRecord]:
        """The series of one device that are there, in order of their numbers."""
        return self._series("gone_at IS NULL AND device = $1", [device])

    def _series(self, where: str, given: list[Any]) -> list[SeriesRecord]:
        with self._reading() as cursor:
            rows = cursor.execute(
                f"SELECT series, device, metric, unit, kind, gone_at FROM stored.series WHERE {where} ORDER BY series",
                given,
            ).fetchall()
        return [SeriesRecord(*row) for row in rows]

    def site_sizes(self, sites: Collection[str]) -> dict[str, int]:
        """How many devices that are there each of the sites has: what their names have before the last "/".

        A name without it, or with nothing before it, is a site of its own.
        """
        with self._reading() as cursor:
            rows = cursor.execute(
                "WITH there AS (SELECT DISTINCT device FROM stored.series WHERE gone_at IS NULL), placed AS ("
                "SELECT device, left(device, length(device) - instr(reverse(device), '/')) AS above FROM there) "
                "SELECT CASE WHEN above = '' THEN device ELSE above END AS site, count(*) "
                "FROM placed WHERE site IN (SELECT unnest($1)) GROUP BY site",
                [list(sites)],
            ).fetchall()
        return dict(rows)

    def labels(self, devices: Collection[str]) -> dict[str, dict[str, str]]:
        """The labels of these devices, of those that have any."""
        with self._reading() as cursor:
            rows = cursor.execute(
                "SELECT device, labels FROM stored.device WHERE device IN (SELECT unnest($1)) AND labels <> '{}'",
                [list(devices)],
            ).fetchall()
        return {device: orjson.loads(labels) for device, labels in rows}

    def first_seen(self) -> list[int | None]:
        """When each device was first seen (ns), in any order; None where that was not noted."""
        with self._reading() as cursor:
            rows = cursor.execute(
                "SELECT epoch_ns(first_seen) FROM stored.device FULL JOIN "
                "(SELECT DISTINCT device FROM stored.series WHERE gone_at IS NULL) USING (device)"
            ).fetchall()
        return [time for (time,) in rows]

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
        low, high = TIME_MIN if start is None else start, TIME_MAX if end is None else end
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
                    tables = (*VIEWS, *stored_streams(cursor))
                    checked = check_query(cursor, sql, tables)
                    check_cost(query_nodes(cursor, sql, tables), checked.views)
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
