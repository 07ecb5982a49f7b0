"""Store: what people did with devices whose points lie in the archive: at once in what is read, later in the files.

A series that was deleted, or became part of another, is so in every read from the commit on that says it; housekeeping
writes the files anew without its rows, or with them under their new series. Stretches that people left out are left
out of reads alone, so that they can be put back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from devices.records import SeriesMove
from storage.archive.parquet_archive import COLUMNS, Archive, ArchivedFile

TABLE = """
CREATE TABLE IF NOT EXISTS stored.archive_change(
    series INTEGER PRIMARY KEY,
    target INTEGER,
    scale DOUBLE NOT NULL,
    shift DOUBLE NOT NULL
);
"""
"""Series of the archive that are no more: part of `target` with their values times `scale` plus `shift`, or (NULL)
deleted."""

_CARRIED = """(
    SELECT coalesce(c.target, a.series) AS series, s.device, s.metric, a.time,
        a.value * coalesce(c.scale, 1) + coalesce(c.shift, 0) AS value, a.score,
        (a.expected * coalesce(c.scale, 1) + coalesce(c.shift, 0))::FLOAT AS expected,
        (a.lower * coalesce(c.scale, 1) + coalesce(c.shift, 0))::FLOAT AS lower,
        (a.upper * coalesce(c.scale, 1) + coalesce(c.shift, 0))::FLOAT AS upper, a.anomaly, a.late
    FROM {files} a LEFT JOIN stored.archive_change c ON c.series = a.series
        JOIN stored.series s ON s.series = coalesce(c.target, a.series)
    WHERE c.series IS NULL OR c.target IS NOT NULL
)"""
_IN_STRETCH = "e.series = a.series AND a.time >= e.first AND a.time < e.beyond"


def note_changes(connection: Any, moved: Iterable[SeriesMove], deleted: Sequence[int]) -> None:
    """Within a commit: series become parts of others, or go; without files of an archive nothing is noted."""
    [(files,)] = connection.execute("SELECT count(*) FROM stored.archive").fetchall()
    if not files:
        return
    for move in moved:
        connection.execute(
            "UPDATE stored.archive_change SET target = ?, scale = scale * ?, shift = shift * ? + ? WHERE target = ?",
            [move.target, move.scale, move.scale, move.offset, move.source],
        )
        connection.execute(
            "INSERT INTO stored.archive_change VALUES (?, ?, ?, ?)", [move.source, move.target, move.scale, move.offset]
        )
    for series in deleted:
        connection.execute("UPDATE stored.archive_change SET target = NULL WHERE target = ?", [series])
        connection.execute("INSERT OR REPLACE INTO stored.archive_change VALUES (?, NULL, 1, 0)", [series])


def changed_series(connection: Any) -> list[int]:
    """Series that files may hold although they are no more."""
    rows = connection.execute("SELECT series FROM stored.archive_change ORDER BY series").fetchall()
    return [int(series) for (series,) in rows]


def settle(connection: Any, series: Sequence[int]) -> None:
    """No file holds these series any more."""
    connection.execute("DELETE FROM stored.archive_change WHERE list_contains(?::INTEGER[], series)", [list(series)])


def carried(connection: Any, archive: Archive, files: Sequence[ArchivedFile]) -> str:
    """SQL that stands for the points of `files` under the series that they are of now, those left out too."""
    relation = archive.relation(files)
    return _CARRIED.format(files=relation) if _has_rows(connection, "archive_change") else relation


def shown(connection: Any, archive: Archive, files: Sequence[ArchivedFile]) -> str:
    """The same without the stretches that people left out."""
    relation = carried(connection, archive, files)
    if not _has_rows(connection, "exclusion"):
        return relation
    return f"(SELECT {COLUMNS} FROM {relation} a ANTI JOIN stored.exclusion e ON {_IN_STRETCH})"


def left_out(connection: Any, archive: Archive, files: Sequence[ArchivedFile]) -> str:
    """SQL that stands for the points of the stretches that people left out; empty where there are none."""
    if not _has_rows(connection, "exclusion"):
        return ""
    relation = carried(connection, archive, files)
    return f"(SELECT {COLUMNS} FROM {relation} a SEMI JOIN stored.exclusion e ON {_IN_STRETCH})"


def holds_any(connection: Any, archive: Archive, file: ArchivedFile) -> bool:
    """Whether a file has rows of a series that is no more."""
    found = connection.execute(
        f"SELECT 1 FROM {archive.relation([file])} a SEMI JOIN stored.archive_change c USING (series) LIMIT 1"
    ).fetchall()
    return bool(found)


def _has_rows(connection: Any, table: str) -> bool:
    """A database that an older version wrote, opened for reading alone, lacks the table."""
    there = "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'stored' AND table_name = ?"
    if not connection.execute(there, [table]).fetchall():
        return False
    return bool(connection.execute(f"SELECT 1 FROM stored.{table} LIMIT 1").fetchall())
