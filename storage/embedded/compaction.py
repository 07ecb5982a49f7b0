"""Store: compaction: points of one table of the embedded database into long sorted runs of the next."""

from __future__ import annotations

from itertools import pairwise

import duckdb
import numpy as np

from storage.embedded import schema

_ROWS_SORTED_AT_ONCE = 500_000
"""Sorting takes some 60 bytes of memory a row; larger portions are hardly faster."""

_MOST_SCANS = 4
"""Each portion reads the whole table where it is in order of arrival: a backlog must not cost its square."""


def move_sorted(connection: duckdb.DuckDBPyConnection, source: str, target: str, at_least: int) -> int:
    """Move all points of one table to another, as one run in order of series and time, a bounded number at once."""
    columns = connection.execute(
        f"SELECT series, count(*) AS points FROM stored.{source} GROUP BY series ORDER BY series"
    ).fetchnumpy()
    series, ends = np.asarray(columns["series"]), np.cumsum(np.asarray(columns["points"]))
    if not len(series) or int(ends[-1]) < at_least:
        return 0
    unsorted = source == schema.POINT_TABLES[0]
    at_once = max(_ROWS_SORTED_AT_ONCE, int(ends[-1]) // _MOST_SCANS) if unsorted else _ROWS_SORTED_AT_ONCE
    portion = (ends - 1) // at_once
    firsts = series[np.flatnonzero(np.diff(portion, prepend=-1))].tolist()
    for first, last in pairwise([*firsts, int(series[-1]) + 1]):
        connection.execute(
            f"INSERT INTO stored.{target} SELECT {schema.POINT_COLUMNS} FROM stored.{source} "
            f"WHERE series >= {first} AND series < {last} ORDER BY series, time"
        )
    connection.execute(f"DELETE FROM stored.{source}")
    return int(ends[-1])
