"""Store: what people do with devices, carried out on the tables of the embedded database within a commit."""

from __future__ import annotations

import duckdb
import orjson

from devices.records import PointsMark, SeriesMove
from devices.stretches import with_span, without_span
from storage.archive.archive_changes import note_changes
from storage.embedded.row_writing import columns_of
from storage.embedded.schema import EXCLUDED, POINT_COLUMNS, POINT_TABLES
from storage.store import StepOutput

_PUT_DEVICE = """
INSERT OR REPLACE INTO stored.device
SELECT device, name, labels, make_timestamp_ns(first_seen), make_timestamp_ns(retired_at), merged_into, merged_at,
    make_timestamp_ns(muted_at)
FROM (
    SELECT unnest($1::VARCHAR[]) AS device, unnest($2::VARCHAR[]) AS name, unnest($3::VARCHAR[]) AS labels,
        unnest($4::BIGINT[]) AS first_seen, unnest($5::BIGINT[]) AS retired_at, unnest($6::VARCHAR[]) AS merged_into,
        unnest($7::BIGINT[]) AS merged_at, unnest($8::BIGINT[]) AS muted_at
)
"""
_MOVE_POINTS = """
UPDATE stored.{table} p SET series = {target},
    time = CASE WHEN EXISTS (FROM stored.point q WHERE q.series = {target} AND q.time = p.time)
        THEN make_timestamp_ns(epoch_ns(p.time) + 1) ELSE p.time END,
    value = value * {scale} + {offset}, expected = expected * {scale} + {offset}, below = below * {scale},
    above = above * {scale}
WHERE series = {source}
"""


def change_devices(connection: duckdb.DuckDBPyConnection, output: StepOutput) -> None:
    """Put the records of devices, then let series become part of others, or go with all that is stored of them.

    What meets a point at its time moves to the next nanosecond.
    """
    if output.registered:
        rows = [
            (
                r.device, r.name, orjson.dumps(r.labels).decode(), r.first_seen, r.retired_at, r.merged_into,
                r.merged_at, r.muted_at,
            )
            for r in {record.device: record for record in output.registered}.values()
        ]  # fmt: skip
        connection.execute(_PUT_DEVICE, columns_of(rows))
    if output.forgotten:
        connection.execute("DELETE FROM stored.device WHERE list_contains(?, device)", [output.forgotten])
    for mark in output.marked:
        _mark(connection, mark)
    note_changes(connection, output.moved, output.deleted)
    for move in output.moved:
        _move(connection, move)
    if output.deleted:
        gone = ", ".join(str(int(series)) for series in output.deleted)
        for table in (*POINT_TABLES, EXCLUDED, "exclusion", "state", "alarm"):
            connection.execute(f"DELETE FROM stored.{table} WHERE series IN ({gone})")


def _mark(connection: duckdb.DuckDBPyConnection, mark: PointsMark) -> None:
    """Let points of a stretch stand apart, or among the others again."""
    _note_stretch(connection, mark)
    where = (
        f"series = {int(mark.series)} AND time >= make_timestamp_ns({int(mark.start)}) "
        f"AND time < make_timestamp_ns({int(mark.end)})"
    )
    sources, target = (POINT_TABLES, EXCLUDED) if mark.excluded else ((EXCLUDED,), POINT_TABLES[0])
    for source in sources:
        connection.execute(f"INSERT INTO stored.{target} SELECT {POINT_COLUMNS} FROM stored.{source} WHERE {where}")
        connection.execute(f"DELETE FROM stored.{source} WHERE {where}")


def _note_stretch(connection: duckdb.DuckDBPyConnection, mark: PointsMark) -> None:
    series = int(mark.series)
    rows = connection.execute(
        "SELECT epoch_ns(first), epoch_ns(beyond) FROM stored.exclusion WHERE series = ? ORDER BY first", [series]
    ).fetchall()
    change = with_span if mark.excluded else without_span
    spans = change(rows, (mark.start, mark.end))
    if spans == rows:
        return
    connection.execute("DELETE FROM stored.exclusion WHERE series = ?", [series])
    for start, end in spans:
        connection.execute(
            "INSERT INTO stored.exclusion VALUES (?, make_timestamp_ns(?), make_timestamp_ns(?))", [series, start, end]
        )


def _move(connection: duckdb.DuckDBPyConnection, move: SeriesMove) -> None:
    source, target = int(move.source), int(move.target)
    for table in (*POINT_TABLES, EXCLUDED):
        connection.execute(
            _MOVE_POINTS.format(table=table, source=source, target=target, scale=move.scale, offset=move.offset)
        )
    connection.execute(
        f"INSERT OR IGNORE INTO stored.state SELECT {target}, time, text FROM stored.state WHERE series = {source}"
    )
    connection.execute(f"DELETE FROM stored.state WHERE series = {source}")
    connection.execute(f"UPDATE stored.exclusion SET series = {target} WHERE series = {source}")
    connection.execute(f"UPDATE stored.alarm SET series = {target} WHERE series = {source}")
