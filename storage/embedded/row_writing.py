"""Store: the rows of one commit, written to the tables of the embedded database within its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import orjson
from numpy.typing import NDArray

from devices.batch import ScoredBatch
from devices.records import AlarmRecord
from storage.embedded.columns import stored_columns
from storage.embedded.schema import POINT_TABLES
from storage.store import StepOutput

_INSERT_POINTS = """
INSERT INTO stored.{table}
SELECT series, time, value, nullif(score, 'nan'), nullif(expected, 'nan'), nullif(below, 'nan'),
    nullif(coalesce(above, 'nan'), coalesce(below, 'nan')), anomaly, late, nullif(novelty, 'nan')
FROM incoming
"""
_INSERT_SERIES = """
INSERT INTO stored.series (series, device, metric, unit, kind, gone_at)
SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6::BIGINT[])
ON CONFLICT (series) DO UPDATE SET unit = excluded.unit, kind = excluded.kind, gone_at = excluded.gone_at
"""
_INSERT_STATES = """
INSERT OR IGNORE INTO stored.state
SELECT series, make_timestamp_ns(time), text FROM (
    SELECT unnest($1) AS series, unnest($2::BIGINT[]) AS time, unnest($3) AS text
)
"""
_PUT_ALARM = """
INSERT OR REPLACE INTO stored.alarm
SELECT alarm, series, state, make_timestamp_ns(opened), make_timestamp_ns(cleared), severity, peak_score, value,
    nullif(expected, 'nan'), reason, parts, acknowledged_by, make_timestamp_ns(acknowledged_at),
    make_timestamp_ns(shelved_until), cleared_reason, note, feedback
FROM (
    SELECT unnest($1::BIGINT[]) AS alarm, unnest($2::INTEGER[]) AS series, unnest($3::VARCHAR[]) AS state,
        unnest($4::BIGINT[]) AS opened, unnest($5::BIGINT[]) AS cleared, unnest($6::VARCHAR[]) AS severity,
        unnest($7::DOUBLE[]) AS peak_score, unnest($8::DOUBLE[]) AS value, unnest($9::DOUBLE[]) AS expected,
        unnest($10::VARCHAR[]) AS reason, unnest($11::VARCHAR[]) AS parts, unnest($12::VARCHAR[]) AS acknowledged_by,
        unnest($13::BIGINT[]) AS acknowledged_at, unnest($14::BIGINT[]) AS shelved_until,
        unnest($15::VARCHAR[]) AS cleared_reason, unnest($16::VARCHAR[]) AS note, unnest($17::VARCHAR[]) AS feedback
)
"""
_PUT_ACTION = """
INSERT OR IGNORE INTO stored.action
SELECT position, number, alarm, kind, done_by, make_timestamp_ns(done_at), text, refused FROM (
    SELECT unnest($1::BIGINT[]) AS position, unnest($2::INTEGER[]) AS number, unnest($3::BIGINT[]) AS alarm,
        unnest($4::VARCHAR[]) AS kind, unnest($5::VARCHAR[]) AS done_by, unnest($6::BIGINT[]) AS done_at,
        unnest($7::VARCHAR[]) AS text, unnest($8::VARCHAR[]) AS refused
)
"""


def write_points(connection: duckdb.DuckDBPyConnection, points: ScoredBatch, table: str = POINT_TABLES[0]) -> None:
    """Append points, none of which is stored yet, to the recent ones or to another table of points."""
    if not len(points):
        return
    score, expected, below, above = stored_columns(points)
    connection.register(
        "incoming",
        {
            "series": points.series,
            "time": timestamps(points.time),
            "value": points.value,
            "score": score,
            "expected": expected,
            "below": below,
            "above": above,
            "anomaly": points.anomaly,
            "late": points.late,
            "novelty": np.round(points.novelty, 2).astype(np.float32),
        },
    )
    connection.execute(_INSERT_POINTS.format(table=table))


def write_rows(connection: duckdb.DuckDBPyConnection, output: StepOutput) -> None:
    """Write the new series, changes of states and alarms of `output`; of an alarm's records the last one counts."""
    if output.series:
        last = {record.series: record for record in output.series}
        rows = [(s.series, s.device, s.metric, s.unit, s.kind, s.gone_at) for s in last.values()]
        connection.execute(_INSERT_SERIES, columns_of(rows))
    if output.states:
        states = [(state.series, state.time, state.text) for state in output.states]
        connection.execute(_INSERT_STATES, columns_of(states))
    if output.alarms:
        newest = {record.alarm: record for record in output.alarms}
        connection.execute(_PUT_ALARM, columns_of([_alarm_row(record) for record in newest.values()]))
    if output.actions:
        rows_of_actions = [
            (a.position, a.number, a.alarm, a.kind, a.by, a.at, a.text, a.refused) for a in output.actions
        ]
        connection.execute(_PUT_ACTION, columns_of(rows_of_actions))


def columns_of(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as the columns that one statement takes whole: row by row each takes hundreds of times as long."""
    return [list(column) for column in zip(*rows, strict=True)]


def _alarm_row(record: AlarmRecord) -> tuple[Any, ...]:
    return (
        record.alarm,
        record.series,
        record.state.value,
        record.opened,
        record.cleared,
        record.severity,
        record.peak_score,
        record.value,
        record.expected,
        record.reason,
        orjson.dumps(record.parts).decode(),
        record.acknowledged_by,
        record.acknowledged_at,
        record.shelved_until,
        record.cleared_reason,
        record.note,
        record.feedback,
    )


def timestamps(time: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Times in ns as the column type that DuckDB takes for timestamps."""
    return np.ascontiguousarray(time).view("datetime64[ns]")
