"""Stage 6 of 7: what the page, the API and the warm start read from the embedded database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import orjson
from numpy.typing import NDArray

from devices.batch import ScoredBatch
from devices.records import AlarmRecord, AlarmState, DeadLetter, SeriesRecord
from storage.base import SeriesPoints

_TIME_MIN = -(2**63) + 2
_TIME_MAX = 2**63 - 2
_COLUMNS = "series, epoch_ns(time) AS time, value, score, expected, lower, upper, anomaly, late"
_READING_STATEMENTS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


class QueryError(Exception):
    """A user's SQL cannot be run; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows of a user's query, at most as many as asked for; `truncated` where there were more."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    truncated: bool


class StoreQueries(ABC):
    """Reads of the embedded database, each in a cursor of its own, so that any thread may call them."""

    @abstractmethod
    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A new cursor on the open database."""

    def series(self) -> list[SeriesRecord]:
        """Every known series, in order of its index."""
        with self._reading() as cursor:
            rows = cursor.execute("SELECT series, device, metric, unit FROM stored.series ORDER BY series").fetchall()
        return [SeriesRecord(*row) for row in rows]

    def points(
        self, series: int, start: int | None = None, end: int | None = None, max_points: int | None = None
    ) -> SeriesPoints:
        """Points of one series from `start` up to and without `end` (ns since the epoch), in time order.

        Where there are more than `max_points`, the span is cut into `max_points // 2` equal stretches of time, and of
        each the least and the greatest value stay, beside every anomaly: a chart of them looks like a chart of all.
        """
        if max_points is not None and max_points < 2:
            raise ValueError(f"max_points is {max_points}: expected 2 or more")
        low, high = _TIME_MIN if start is None else start, _TIME_MAX if end is None else end - 1
        where = (
            f"series = {int(series)} AND time BETWEEN make_timestamp_ns({int(low)}) AND make_timestamp_ns({int(high)})"
        )
        with self._reading() as cursor:
            cursor.execute("BEGIN READ ONLY")
            total, first, last = cursor.execute(
                f"SELECT count(*), epoch_ns(min(time)), epoch_ns(max(time)) FROM stored.point WHERE {where}"
            ).fetchall()[0]
            query = f"SELECT {_COLUMNS} FROM stored.point WHERE {where}"
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
        batch = _scored(columns)
        return SeriesPoints(
            batch.time, batch.value, batch.score, batch.expected, batch.lower, batch.upper, batch.anomaly, int(total)
        )

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
                f"expected, reason, parts FROM stored.alarm WHERE {' AND '.join(conditions)} "
                "ORDER BY opened DESC, alarm DESC LIMIT ?",
                [*values, limit],
            ).fetchall()
        return [_alarm(row) for row in rows]

    def dead_letters(self, limit: int = 200) -> list[DeadLetter]:
        """Rejected messages, the newest first."""
        with self._reading() as cursor:
            rows = cursor.execute(
                'SELECT "offset", part, epoch_ns(arrival), topic, payload, reason, detail FROM stored.dead_letter '
                'ORDER BY "offset" DESC, part DESC LIMIT ?',
                [limit],
            ).fetchall()
        return [DeadLetter(*row) for row in rows]

    def query(self, sql: str, limit: int = 1000) -> QueryResult:
        """Rows of one reading statement of SQL (SELECT, WITH, FROM, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN).

        It runs in a read-only transaction without access to files or network. Raises QueryError.
        """
        with self._reading() as cursor:
            try:
                statements = cursor.extract_statements(sql)
                if len(statements) != 1:
                    raise QueryError(f"{len(statements)} statements were given: expected one")
                if statements[0].type not in _READING_STATEMENTS:
                    kind = statements[0].type.name.lower().replace("_", " ")
                    raise QueryError(f"{kind} is not allowed: expected a statement that only reads, such as SELECT")
                cursor.execute("BEGIN READ ONLY")
                cursor.execute(sql)
                columns = [column[0] for column in cursor.description or ()]
                rows = cursor.fetchmany(limit + 1)
            except duckdb.Error as error:
                raise QueryError(_one_line(error)) from error
        return QueryResult(columns, rows[:limit], len(rows) > limit)

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._cursor()
        try:
            yield cursor
        finally:
            cursor.close()


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
    )


def _alarm(row: Sequence[Any]) -> AlarmRecord:
    alarm, series, state, opened, cleared, severity, peak, value, expected, reason, parts = row
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
    )


def _one_line(error: duckdb.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    hint = next((line for line in lines[1:] if line.startswith(("Did you mean", "Candidate"))), "")
    return " ".join(part for part in (lines[0], hint) if part)
