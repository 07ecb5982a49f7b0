"""Store: what becomes of points as they grow old: sorted, archived, removed; and moved where a clock was wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from common.durations import parse_duration
from common.time_units import HOUR
from storage.archive import archive_changes, archiving
from storage.archive.parquet_archive import Archive, ArchivedFile
from storage.embedded import schema
from storage.embedded.compaction import move_sorted
from storage.embedded.database_errors import database_errors
from storage.embedded.database_file import DatabaseFile, write_ahead_log
from storage.embedded.row_writing import timestamps
from storage.embedded.stream_tables import remove_old_rows

_RUNS_MERGED = 16

_MOST_AHEAD = HOUR
"""Nanoseconds that a point may be ahead of the host's time and still make others old."""

_NOT_ONE_ALONE = 10
"""So many points of a series say together how old its others are."""

_FAR_FUTURE = 2**62

_CHECKED_A_ROUND = 256 << 20
"""Bytes of archived files whose checksums are compared in one round of housekeeping."""


class OldPoints(DatabaseFile):
    """What is done to a database beside the commits and queries, which go on meanwhile."""

    def compact(self, at_least: int | None = None) -> int:
        """Move recent points to the sorted table where there are `at_least` (default: `compact_rows`).

        Sorted runs are merged into longer ones where they hold sixteen times as many. Returns how many points went.
        Commits and queries go on meanwhile.
        """
        least = self.settings.compact_rows if at_least is None else at_least
        moved = 0
        for source, target in pairwise(schema.POINT_TABLES):
            with self._maintaining("compacting the database") as connection:
                moved += move_sorted(connection, source, target, least)
            least *= _RUNS_MERGED
        return moved

    def apply_retention(self, now: int) -> int:
        """Remove points and dead letters that are older than the settings keep, and return how many points went.

        The age of a point counts back from the newest points of its own series, so that replayed history is not taken
        for old: from the tenth newest of those that are not ahead of `now` (ns), so that a wrong clock takes nothing
        away. The age of a dead letter counts back from `now`. Commits and queries go on meanwhile.
        """
        keep = parse_duration(self.settings.keep)
        self._letters.remove_before(now - parse_duration(self.settings.keep_dead_letters))
        with self._maintaining("removing old rows of streams") as connection:
            remove_old_rows(connection, keep)
        if self.archive is not None and self.archive.unreachable:
            # What should have moved there by now is here alone.
            return 0
        with self._maintaining("removing old points") as connection:
            newest = self._load_plausible(connection, now)
            if not len(newest[1]):
                return 0
            cutoff = np.maximum(newest[1], np.iinfo(np.int64).min + keep + 2) - keep
            connection.register("cutoffs", {"series": newest[0], "cutoff": timestamps(cutoff)})
            removed = 0
            for table in (*schema.POINT_TABLES, schema.EXCLUDED):
                [(rows,)] = connection.execute(
                    f"DELETE FROM stored.{table} p USING cutoffs c "
                    "WHERE p.series = c.series AND p.time < c.cutoff AND p.time < make_timestamp_ns(?)",
                    [int(cutoff.max())],
                ).fetchall()
                removed += int(rows)
            return removed

    def move_to_archive(self, now: int = _FAR_FUTURE) -> int:
        """Move days that are old enough, and what came late for days moved before, to the archive.

        Points ahead of `now` (ns) do not make others old. Returns how many points went. Commits and queries go on
        meanwhile. Without an archive, nothing happens.
        """
        archive = self.archive
        if archive is None:
            return 0
        archive.look(self._owner, self._archived)
        if archive.unreachable:
            return 0
        archive.find_damaged(self._archived, most_bytes=_CHECKED_A_ROUND)
        archive.remove_others(self._archived)
        after = parse_duration(archive.settings.after)
        with self._lock:
            newest = self._newest.of(None)
        with self._cursor() as cursor, database_errors(self.path, "looking for old points"):
            days = archiving.days_to_move(cursor, newest, after, now + _MOST_AHEAD)
        self._carry_changes(archive)
        names = self.all_series() if days else []
        moved = 0
        for day in days:
            if not all(archive.is_usable(file) for file in self._archived if file.day == day):
                continue
            with self._changing_archive("moving points to the archive") as (cursor, change):
                added, replaced = archiving.move_day(cursor, archive, day, newest, names)
                change.extend([file for file in self._archived if file not in replaced] + added)
            moved += sum(file.rows for file in added) - sum(file.rows for file in replaced)
        keep = archive.settings.keep
        if keep is not None and len(newest[1]):
            newest_of_all = min(int(newest[1].max()), now + _MOST_AHEAD)
            old = archiving.past_keeping(self._archived, newest_of_all, parse_duration(keep))
            with self._changing_archive("removing old files") as (cursor, change):
                archiving.forget(cursor, old)
                change.extend(file for file in self._archived if file not in old)
        archive.write_manifest(self._owner, self._archived)
        return moved

    def _carry_changes(self, archive: Archive) -> None:
        """Write those files anew that hold series that were deleted, or are part of others by now."""
        with self._cursor() as cursor, database_errors(self.path, "looking for series that are no more"):
            gone = archive_changes.changed_series(cursor)
            if not gone:
                return
            readable = [file for file in self._archived if archive.is_usable(file)]
            holding = [file for file in readable if archive_changes.holds_any(cursor, archive, file)]
        complete = len(readable) == len(self._archived)
        names = self.all_series()
        for file in holding:
            with self._changing_archive("writing a file of the archive anew") as (cursor, change):
                added = archiving.write_anew(cursor, archive, file, names)
                change.extend([each for each in self._archived if each != file] + added)
        if complete:
            with self._maintaining("noting what the archive holds") as connection:
                archive_changes.settle(connection, gone)

    def move_times(self, start: int, end: int, by: int, devices: Sequence[str] | None = None) -> tuple[int, int]:
        """Move points from `start` up to and without `end` (ns) by `by` ns; of these devices where any are named.

        Returns how many moved, and how many stayed since a point stands at their new time. The archive stays as it is.
        """
        of_devices = "AND series IN (SELECT series FROM stored.series WHERE device IN (FROM named))"
        chosen = "" if devices is None else of_devices
        wrong = f"time >= make_timestamp_ns({start}) AND time < make_timestamp_ns({end}) {chosen}"
        new = f"make_timestamp_ns(epoch_ns(time) + {by})"
        taken = f"EXISTS (FROM stored.point q WHERE q.series = p.series AND q.time = {new.replace('time)', 'p.time)')})"
        moved = 0
        with self._lock, self._maintaining("moving points in time") as connection:
            if devices is not None:
                connection.register("named", {"device": np.array(devices, object)})
            [(stay,)] = connection.execute(f"SELECT count(*) FROM stored.point p WHERE {wrong} AND {taken}").fetchall()
            for table in schema.POINT_TABLES:
                sql = f"UPDATE stored.{table} p SET time = {new} WHERE {wrong} AND NOT {taken}"
                [(rows,)] = connection.execute(sql).fetchall()
                moved += int(rows)
            self._newest.load(*self._load_newest(connection))
        return moved, int(stay)

    def checkpoint(self) -> None:
        """Carry the write-ahead log over into the file now, and give freed space back."""
        with self._lock, database_errors(self.path, "writing a checkpoint"):
            self._writer().execute("CHECKPOINT")

    def copy_to(self, path: Path) -> None:
        """Copy the file as of the last commit; commits wait meanwhile. Raises StorageFullError, OSError."""
        with self._maintenance_lock, self._lock, database_errors(self.path, "making a backup"):
            shutil.copyfile(self.path, path)
            if write_ahead_log(self.path).exists():
                shutil.copyfile(write_ahead_log(self.path), write_ahead_log(path))

    def _load_plausible(
        self, connection: duckdb.DuckDBPyConnection, now: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The tenth newest time of each series among those that are not ahead of `now`; the oldest where there are
        fewer."""
        rows = connection.execute(
            f"SELECT series, epoch_ns(list_min(max(time, {_NOT_ONE_ALONE}))) AS time FROM stored.point "
            "WHERE time <= make_timestamp_ns(?) GROUP BY series",
            [now + _MOST_AHEAD],
        )
        columns = rows.fetchnumpy()
        return np.asarray(columns["series"], np.int32), np.asarray(columns["time"], np.int64)

    @contextmanager
    def _changing_archive(self, what: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[ArchivedFile]]]:
        """A transaction that moves points; the list given out holds the files that count once it has committed."""
        change: list[ArchivedFile] = []

        @contextmanager
        def committing() -> Iterator[None]:
            with self._archive_lock:
                yield
                self._archived = tuple(sorted(change, key=lambda file: (file.day, file.path)))

        with (
            self._maintenance_lock,
            database_errors(self.path, what),
            self._cursor() as cursor,
            self._transaction(cursor, what, committing()),
        ):
            yield cursor, change
