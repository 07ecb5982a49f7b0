"""Store: the embedded database on DuckDB: every point, series, dead letter, alarm and count, in one file.

One `commit` is one DuckDB transaction that also holds the journal position, so that after a kill the database stands
exactly at a position of the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import duckdb
import numpy as np
import orjson
from numpy.typing import NDArray

from common.storage_errors import StorageFullError
from devices.batch import ScoredBatch
from storage.archive import archive_changes
from storage.archive.parquet_archive import ArchivedFile
from storage.embedded.conflicts import sort_out
from storage.embedded.device_writing import change_devices
from storage.embedded.row_writing import timestamps, write_points, write_rows
from storage.embedded.schema import EXCLUDED
from storage.embedded.stream_store import StreamStore
from storage.embedded.stream_tables import write_streams
from storage.store import CommitResult, StepOutput

_FIND_STORED = """
SELECT b.row, p.value FROM behind b JOIN (
    SELECT series, time, value FROM {points} WHERE time BETWEEN make_timestamp_ns(?) AND make_timestamp_ns(?)
) p USING (series, time)
"""
_ALL_POINTS = """(
    SELECT series, time, value FROM stored.point UNION ALL SELECT series, time, value FROM stored.point_excluded
)"""
_PUT_PROGRESS = "UPDATE stored.progress SET position = ?, counts = ?"


class EmbeddedStore(StreamStore):
    """Results in one DuckDB file (see `storage.store.Store`): what was scored is written here, and read from here.

    One thread commits; any thread may query meanwhile. A second process may not open the file while one writes to it.
    """

    def counts(self) -> dict[str, int]:
        """The ledger: how many messages and readings ended in which place, as of the last commit."""
        with self._lock:
            return dict(self._counts)

    def commit(self, output: StepOutput, ahead: Callable[[StepOutput], object] | None = None) -> CommitResult:
        """Store one output in one transaction; it is on disk when this returns.

        Output wholly before `position` is ignored. A point whose value is stored already at its series and time is
        a duplicate. One that meets another value there is a conflict: it is kept at the next free nanosecond, and
        counted among the conflicts too. A point that the engine marked late counts as late. The ledger grows by
        `output.counts` and by "stored", "duplicates" and "late". Raises ValueError where the output begins before
        `position` and ends behind it, StorageFullError where there is no room: then nothing was stored, and the same
        commit may be tried again.

        `ahead` gets the output, without its duplicates, before the transaction commits; what it raises is raised here,
        and nothing is stored.
        """
        if output.moved or output.deleted or output.marked:
            # Housekeeping may be at the same rows.
            with self._maintenance_lock:
                return self._without_damaged(lambda: self._commit(output, ahead))
        return self._without_damaged(lambda: self._commit(output, ahead))

    def _commit(self, output: StepOutput, ahead: Callable[[StepOutput], object] | None) -> CommitResult:
        with self._lock:
            if output.next_position <= self._position:
                return CommitResult(0, 0, 0)
            if output.position < self._position:
                raise ValueError(
                    f"output of journal positions {output.position} to {output.next_position} begins before the stored "
                    f"position {self._position} and ends behind it: expected outputs to break there"
                )
            self._require_room()
            # Ahead of the transaction: what a kill leaves behind here is put again, the same, with the next commit.
            self._letters.put(output.dead_letters)
            points = output.points
            if len(output.excluded):
                points = ScoredBatch.concatenate([points, output.excluded])
            fresh, before = self._newest.advance(points.series, points.time)
            try:
                connection = self._writer()
                with self._transaction(connection, "storing results"):
                    kept, result, duplicate = self._sort_out(connection, points, fresh)
                    counts = self._counted(output.counts, result)
                    shown, apart = _parted(output, kept, duplicate)
                    write_points(connection, shown)
                    write_points(connection, apart, EXCLUDED)
                    write_rows(connection, output)
                    change_devices(connection, output)
                    write_streams(connection, output)
                    connection.execute(_PUT_PROGRESS, [output.next_position, orjson.dumps(counts).decode()])
                    if ahead is not None:
                        ahead(output if shown is output.points else replace(output, points=shown))
            except BaseException:
                self._newest.undo(points.series, before)
                raise
            self._position = output.next_position
            self._counts = counts
            self._newest.move(output.moved, output.deleted)
            if marked := sorted({*(mark.series for mark in output.marked), *output.excluded.series.tolist()}):
                self._newest.put(marked, *self._load_newest(connection, marked))
            return result

    def _sort_out(
        self, connection: duckdb.DuckDBPyConnection, points: ScoredBatch, fresh: NDArray[np.bool_]
    ) -> tuple[ScoredBatch, CommitResult, NDArray[np.bool_]]:
        """The points to write, each at a time that is free; where all of them went; and which are duplicates, (n,)."""
        behind = np.flatnonzero(~fresh)
        if not len(behind):
            late = int(np.count_nonzero(points.late))
            return points, CommitResult(len(points) - late, 0, late), ~fresh
        time, duplicate, conflicts = sort_out(points, behind, partial(self._find_stored, connection))
        late = int(np.count_nonzero(points.late & ~duplicate))
        duplicates = int(np.count_nonzero(duplicate))
        kept = replace(points, time=time).take(~duplicate)
        if conflicts:
            self._newest.reach(kept.series, kept.time)
        return kept, CommitResult(len(points) - late - duplicates, duplicates, late, conflicts), duplicate

    def _find_stored(
        self, connection: duckdb.DuckDBPyConnection, series: NDArray[np.int32], time: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The rows that stand in the database or the archive already, and the values there."""
        connection.register("behind", {"row": np.arange(len(series)), "series": series, "time": timestamps(time)})
        stored = connection.execute(
            _FIND_STORED.format(points=_ALL_POINTS), [int(time.min()), int(time.max())]
        ).fetchnumpy()
        archived = self._archived_rows(connection, time)
        rows = np.concatenate([np.asarray(stored["row"], np.intp), np.asarray(archived["row"], np.intp)])
        return rows, np.concatenate([np.asarray(each["value"], np.float64) for each in (stored, archived)])

    def _archived_rows(self, connection: duckdb.DuckDBPyConnection, time: NDArray[np.int64]) -> dict[str, Any]:
        """Rows of the registered `behind`, whose times are `time`, that stand in the archive, and their values."""
        with self._archive_lock:
            files = _overlapping(self._archived, int(time.min()), int(time.max()))
        if not files or self.archive is None:
            return {"row": np.empty(0, np.intp), "value": np.empty(0)}
        relation = archive_changes.carried(connection, self.archive, files)
        found = connection.execute(_FIND_STORED.format(points=relation), [int(time.min()), int(time.max())])
        return dict(found.fetchnumpy())

    def _counted(self, increments: dict[str, int], result: CommitResult) -> dict[str, int]:
        counts = dict(self._counts)
        own = {"stored": result.stored, "duplicates": result.duplicates, "late": result.late}
        own |= {"conflicts": result.conflicts} if result.conflicts else {}
        for name, count in [*increments.items(), *own.items()]:
            counts[name] = counts.get(name, 0) + count
        return counts

    def _require_room(self) -> None:
        limit = self.settings.max_bytes
        if limit is not None and self.size_bytes >= limit:
            raise StorageFullError(f"{self.path}: no room left for storing results: it holds the {limit} bytes allowed")


def _parted(output: StepOutput, kept: ScoredBatch, duplicate: NDArray[np.bool_]) -> tuple[ScoredBatch, ScoredBatch]:
    """Of the points to write those of `output.points`, and those of `output.excluded`, which come after them."""
    if not len(output.excluded):
        return kept, output.excluded
    first = np.count_nonzero(~duplicate[: len(output.points)])
    rows = np.arange(len(kept))
    return kept.take(rows[:first]), kept.take(rows[first:])


def _overlapping(files: tuple[ArchivedFile, ...], low: int, high: int) -> list[ArchivedFile]:
    return [file for file in files if file.first <= high and file.last >= low]
