"""Store: moving days of points from the embedded database to its archive, whole and once.

The newest point of each series stays in the database, so that what is newest is known without reading files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.extras import optional
from common.time_units import DAY
from devices.records import SeriesRecord
from storage.archive import archive_changes
from storage.archive.parquet_archive import COLUMNS, Archive, ArchivedFile, day_of, day_start
from storage.embedded import schema

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = optional("pyarrow", extra="archive", purpose="Reading and writing Parquet files")

_ROWS_A_FILE = 4_000_000
_ROWS_A_BATCH = 131_072
_FILES_A_DAY = 8
"""With more files than this, those of a day are merged."""

_IN_DAY = "p.time >= make_timestamp_ns({start}) AND p.time < make_timestamp_ns({end})"
_NOT_NEWEST = "NOT EXISTS (FROM newest n WHERE n.series = p.series AND n.time = p.time)"
_EXCLUDED_TOO = """
CREATE OR REPLACE TEMP VIEW excluded AS
    SELECT s.device, s.metric, p.time, p.value FROM stored.point_excluded p JOIN stored.series s USING (series)
    UNION ALL SELECT device, metric, time, value FROM {left_out};
"""
_POINT = "series, time, value, score, expected, lower, upper, anomaly, late"


def archived_files(connection: Any) -> list[ArchivedFile]:
    """The files that count, in order of day."""
    rows = connection.execute(
        "SELECT path, day::VARCHAR, rows, bytes, sha256, epoch_ns(first), epoch_ns(last) FROM stored.archive "
        "ORDER BY day, path"
    ).fetchall()
    return [ArchivedFile(*row) for row in rows]


def days_to_move(
    connection: Any, newest: tuple[NDArray[np.int32], NDArray[np.int64]], after: int, latest: int
) -> list[str]:
    """Days that ended `after` ns before the newest point of all, and of which the database still holds points.

    A point that is newer than `latest` (ns) does not count as the newest.
    """
    if not len(newest[1]):
        return []
    bound = (min(int(newest[1].max()), latest) - after) // DAY * DAY
    _register(connection, newest)
    rows = connection.execute(
        "SELECT DISTINCT epoch_ns(p.time) // ? FROM stored.point p "
        f"WHERE p.time < make_timestamp_ns(?) AND {_NOT_NEWEST} ORDER BY 1",
        [DAY, bound],
    ).fetchall()
    return [day_of(int(number) * DAY) for (number,) in rows]


def move_day(
    connection: Any,
    archive: Archive,
    day: str,
    newest: tuple[NDArray[np.int32], NDArray[np.int64]],
    names: Sequence[SeriesRecord],
) -> tuple[list[ArchivedFile], list[ArchivedFile]]:
    """Within a transaction: write the day's points to files and remove them from the tables.

    Returns the files added and those that they replace, where the day had so many that they are merged. A point that
    is in one of the day's files already does not come twice.
    """
    _register(connection, newest)
    old = [file for file in archived_files(connection) if file.day == day]
    merge = len(old) >= _FILES_A_DAY
    span = _IN_DAY.format(start=day_start(day), end=day_start(day) + DAY)
    query = f"SELECT {_POINT} FROM stored.point p WHERE {span} AND {_NOT_NEWEST}"
    if old:
        relation = archive_changes.carried(connection, archive, old)
        query += f" AND NOT EXISTS (FROM {relation} a WHERE a.series = p.series AND a.time = p.time)"
        if merge:
            query += f" UNION ALL SELECT {_POINT} FROM {relation}"
    added: list[ArchivedFile] = []
    # Closed also when a write fails: a result that is still open would keep the transaction from being taken back.
    with connection.sql(f"SELECT * FROM ({query}) ORDER BY series, time").to_arrow_reader(_ROWS_A_BATCH) as batches:
        added += [archive.write(day, points, names) for points in _portions(batches)]
    for table in schema.POINT_TABLES:
        connection.execute(f"DELETE FROM stored.{table} p WHERE {span} AND {_NOT_NEWEST}")
    replaced = old if merge else []
    _replace(connection, replaced, added)
    return added, replaced


def write_anew(
    connection: Any, archive: Archive, file: ArchivedFile, names: Sequence[SeriesRecord]
) -> list[ArchivedFile]:
    """Within a transaction: write a file's points under the series that they are of now, in place of the file.

    A point that meets another at its new series and time moves to the next nanosecond. Returns the files that stand for
    it: none where nothing is left.
    """
    relation = archive_changes.carried(connection, archive, [file])
    apart = "row_number() OVER (PARTITION BY series, time ORDER BY value) - 1"
    query = _POINT.replace("time", f"make_timestamp_ns(epoch_ns(time) + {apart}) AS time", 1)
    ordered = f"SELECT * FROM (SELECT {query} FROM {relation}) ORDER BY series, time"
    with connection.sql(ordered).to_arrow_reader(_ROWS_A_BATCH) as batches:
        added = [archive.write(file.day, points, names) for points in _portions(batches)]
    _replace(connection, [file], added)
    return added


def _replace(connection: Any, old: Sequence[ArchivedFile], new: Sequence[ArchivedFile]) -> None:
    for file in new:
        connection.execute(
            "INSERT INTO stored.archive VALUES (?, ?::DATE, ?, ?, ?, make_timestamp_ns(?), make_timestamp_ns(?))",
            [file.path, file.day, file.rows, file.bytes, file.sha256, file.first, file.last],
        )
    forget(connection, old)


def _portions(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Points file by file, each in one piece."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= _ROWS_A_FILE:
            yield pa.Table.from_batches(waiting).combine_chunks()
            waiting = []
    if sum(each.num_rows for each in waiting):
        yield pa.Table.from_batches(waiting).combine_chunks()


def forget(connection: Any, files: Sequence[ArchivedFile]) -> None:
    """Let files no longer count."""
    for file in files:
        connection.execute("DELETE FROM stored.archive WHERE path = ?", [file.path])


def past_keeping(files: Sequence[ArchivedFile], newest: int, keep: int) -> list[ArchivedFile]:
    """Files of days that ended `keep` ns before the newest point of all."""
    return [file for file in files if day_start(file.day) + DAY <= newest - keep]


def views_with_archive(relation: str, left_out: str = "") -> str:
    """Views of this connection alone that show the archive's points beside the database's.

    `left_out` stands for the points of the archive that people left out, where there are any.
    """
    own = schema.VIEWS.replace("CREATE OR REPLACE VIEW", "CREATE OR REPLACE TEMP VIEW")
    own = own.replace("FROM stored.point GROUP BY ALL", "FROM point_everywhere GROUP BY ALL")
    hot = (
        "SELECT p.series, s.device, s.metric, p.time, p.value, p.score, p.expected, p.lower, p.upper, p.anomaly, "
        "p.late, p.novelty FROM stored.point p JOIN stored.series s USING (series)"
    )
    return (
        f"CREATE OR REPLACE TEMP VIEW point_everywhere AS {hot} "
        f"UNION ALL SELECT {COLUMNS}, NULL::FLOAT FROM {relation};"
        f"{own}"
        "CREATE OR REPLACE TEMP VIEW points AS SELECT * EXCLUDE (series) FROM point_everywhere;"
        + (_EXCLUDED_TOO.format(left_out=left_out) if left_out else "")
    )


def _register(connection: Any, newest: tuple[NDArray[np.int32], NDArray[np.int64]]) -> None:
    connection.register("newest", {"series": newest[0], "time": newest[1].view("datetime64[ns]")})
