"""Store: the embedded database on DuckDB: every point, series, dead letter, alarm and count, in one file.

One `commit` is one DuckDB transaction that also holds the journal position, so that after a kill the database stands
exactly at a position of the journal. DuckDB syncs its write-ahead log before a commit returns.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import orjson
from numpy.typing import NDArray

from common.durations import parse_duration
from devices.batch import ScoredBatch
from storage.archive import archiving
from storage.archive.parquet_archive import Archive, ArchivedFile
from storage.dead_letters import DeadLetters, letters_path
from storage.embedded import schema
from storage.embedded.columns import NewestTimes
from storage.embedded.compaction import move_sorted
from storage.embedded.conflicts import sort_out
from storage.embedded.letter_table import carry_over
from storage.embedded.older import QueriesWithOlder
from storage.embedded.priority import made_giving_way
from storage.embedded.queries import database_errors
from storage.embedded.row_writing import timestamps, write_points, write_rows
from storage.external.reader_parts import ExternalReader
from storage.storage_settings import ArchiveSettings, StoreSettings
from storage.store import CommitResult, StepOutput, StorageCorruptError, StorageFullError

_RUNS_MERGED = 16

_MOST_AHEAD = 3600 * 10**9
"""Nanoseconds that a point may be ahead of the host's time and still make others old."""

_NOT_ONE_ALONE = 10
"""So many points of a series say together how old its others are."""

_FAR_FUTURE = 2**62

_CHECKED_A_ROUND = 256 << 20
"""Bytes of archived files whose checksums are compared in one round of housekeeping."""

_QUERY_MEMORY_SHARE = 2
"""What a query makes outside the database engine's own bound may take so many times as much."""

_FIND_STORED = """
SELECT b.row, p.value FROM behind b JOIN (
    SELECT series, time, value FROM stored.point WHERE time BETWEEN make_timestamp_ns(?) AND make_timestamp_ns(?)
) p USING (series, time)
"""
_PUT_PROGRESS = "UPDATE stored.progress SET position = ?, counts = ?"


class EmbeddedStore(QueriesWithOlder):
    """Results in one DuckDB file (see `storage.store.Store`), with the queries of `QueriesWithOlder` on them.

    One thread commits; any thread may query meanwhile. A second process may not open the file while one writes to it.
    """

    def __init__(
        self,
        path: Path,
        settings: StoreSettings | None = None,
        *,
        read_only: bool = False,
        archive: Archive | None = None,
        older: ExternalReader | None = None,
    ) -> None:
        self.path = path
        self.archive = archive
        self.older = older
        self.settings = settings or StoreSettings()
        self.query_timeout = parse_duration(self.settings.query_timeout)
        self.query_memory = _QUERY_MEMORY_SHARE * self.settings.memory_bytes
        self._read_only = read_only
        self._lock = threading.RLock()
        self._maintenance_lock = threading.Lock()
        self._archive_lock = threading.Lock()
        self._archived: tuple[ArchivedFile, ...] = ()
        self._owner = ""
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._letters = DeadLetters(
            letters_path(path),
            max_bytes=self.settings.max_dead_letter_bytes,
            max_letters=self.settings.max_dead_letters,
            read_only=read_only,
        )
        self._newest = NewestTimes()
        self._position = 0
        self._counts: dict[str, int] = {}

    def open(self) -> Self:
        """Open or create the file. Returns self.

        Raises StorageCorruptError where the file is damaged, something else, or of another version; OSError where it
        cannot be opened, as when another process holds it.
        """
        with self._lock:
            if self._connection is None:
                self._letters.open()
                self._connect()
        return self

    def close(self) -> None:
        """Close the file, after carrying the write-ahead log over into it. Closing twice does nothing."""
        with self._maintenance_lock, self._lock:
            self._disconnect()
            self._letters.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def position(self) -> int:
        """The journal position up to which everything is stored."""
        return self._position

    @property
    def letters_word(self) -> str:
        """What happened to a file of dead letters that could not be read; empty where nothing did."""
        return self._letters.word

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
            fresh, before = self._newest.advance(points.series, points.time)
            try:
                connection = self._writer()
                with self._transaction(connection, "storing results"):
                    kept, result = self._sort_out(connection, points, fresh)
                    counts = self._counted(output.counts, result)
                    write_points(connection, kept)
                    write_rows(connection, output)
                    connection.execute(_PUT_PROGRESS, [output.next_position, orjson.dumps(counts).decode()])
                    if ahead is not None:
                        ahead(output if kept is points else replace(output, points=kept))
            except BaseException:
                self._newest.undo(points.series, before)
                raise
            self._position = output.next_position
            self._counts = counts
            return result

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
            for table in schema.POINT_TABLES:
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
        names = self.series() if days else []
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

    @property
    def archive_problem(self) -> str:
        """What of the archive cannot be read, in one sentence; empty where all can, and without an archive."""
        return "" if self.archive is None else self.archive.problem

    @property
    def archived(self) -> tuple[ArchivedFile, ...]:
        """The files of the archive, in order of day."""
        return self._archived

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
            if _wal(self.path).exists():
                shutil.copyfile(_wal(self.path), _wal(path))

    @property
    def size_bytes(self) -> int:
        """Bytes of the file and of its write-ahead log."""
        return sum(path.stat().st_size for path in (self.path, _wal(self.path)) if path.exists())

    def _sort_out(
        self, connection: duckdb.DuckDBPyConnection, points: ScoredBatch, fresh: NDArray[np.bool_]
    ) -> tuple[ScoredBatch, CommitResult]:
        """The points to write, each at a time that is free, and where all of them went."""
        behind = np.flatnonzero(~fresh)
        if not len(behind):
            late = int(np.count_nonzero(points.late))
            return points, CommitResult(len(points) - late, 0, late)
        time, duplicate, conflicts = sort_out(points, behind, partial(self._find_stored, connection))
        late = int(np.count_nonzero(points.late & ~duplicate))
        duplicates = int(np.count_nonzero(duplicate))
        kept = replace(points, time=time).take(~duplicate)
        return kept, CommitResult(len(points) - late - duplicates, duplicates, late, conflicts)

    def _find_stored(
        self, connection: duckdb.DuckDBPyConnection, series: NDArray[np.int32], time: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The rows that stand in the database or the archive already, and the values there."""
        connection.register("behind", {"row": np.arange(len(series)), "series": series, "time": timestamps(time)})
        stored = connection.execute(_FIND_STORED, [int(time.min()), int(time.max())]).fetchnumpy()
        archived = self._archived_rows(connection, time)
        rows = np.concatenate([np.asarray(stored["row"], np.intp), np.asarray(archived["row"], np.intp)])
        return rows, np.concatenate([np.asarray(each["value"], np.float64) for each in (stored, archived)])

    def _archived_rows(self, connection: duckdb.DuckDBPyConnection, time: NDArray[np.int64]) -> dict[str, Any]:
        """Rows of the registered `behind`, whose times are `time`, that stand in the archive, and their values."""
        with self._archive_lock:
            files = _overlapping(self._archived, int(time.min()), int(time.max()))
        if not files or self.archive is None:
            return {"row": np.empty(0, np.intp), "value": np.empty(0)}
        relation = self.archive.relation(files)
        found = connection.execute(_FIND_STORED.replace("stored.point", relation), [int(time.min()), int(time.max())])
        return dict(found.fetchnumpy())

    def _counted(self, increments: dict[str, int], result: CommitResult) -> dict[str, int]:
        counts = dict(self._counts)
        own = {"stored": result.stored, "duplicates": result.duplicates, "late": result.late}
        own |= {"conflicts": result.conflicts} if result.conflicts else {}
        for name, count in [*increments.items(), *own.items()]:
            counts[name] = counts.get(name, 0) + count
        return counts

    def _connect(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with database_errors(self.path, "opening the database"):
            connection = made_giving_way(
                lambda: duckdb.connect(str(self.path), read_only=self._read_only, config=self._config())
            )
        try:
            with database_errors(self.path, "opening the database"):
                self._prepare(connection)
                self._open_archive(connection)
                series, time = self._load_newest(connection)
                position, counts = connection.execute("SELECT position, counts FROM stored.progress").fetchall()[0]
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._newest.load(series, time)
        self._position = int(position)
        self._counts = orjson.loads(counts)

    def _config(self) -> dict[str, Any]:
        return {
            "threads": self.settings.threads,
            "memory_limit": f"{self.settings.memory_bytes}B",
            "allocator_background_threads": True,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }

    def _open_archive(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Find the archive's files, and from then on let SQL reach nothing but them and the database."""
        owner = connection.execute("SELECT value FROM stored.meta WHERE name = 'database'").fetchall()
        self._owner = str(owner[0][0]) if owner else ""
        tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        found = archiving.archived_files(connection) if "archive" in tables else []
        if found and self.archive is None and self._read_only:
            [(noted,)] = connection.execute("SELECT value FROM stored.meta WHERE name = 'archive'").fetchall()
            self.archive = Archive(ArchiveSettings.model_validate_json(noted))
        if self.archive is not None:
            cache = self.path.with_name("archive-copies")
            self.archive.open(self._owner, found, cache=cache, read_only=self._read_only)
            folder = f"{self.archive.readable}/".replace("'", "''")
            connection.execute(f"SET allowed_directories = ['{folder}']")
            if not self._read_only:
                # For readers that know the database alone. No secret is among the settings.
                noted = self.archive.settings.model_copy(update={"folder": self.archive.place}).model_dump_json()
                connection.execute("INSERT OR REPLACE INTO stored.meta VALUES ('archive', ?)", [noted])
        elif found:
            raise StorageCorruptError(
                f"{self.path}: {sum(file.rows for file in found)} points are in an archive, but archive.folder is not "
                "set; set it to the folder where they are"
            )
        self._archived = tuple(found)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not tables and not self._read_only:
            connection.execute("BEGIN")
            connection.execute(schema.TABLES)
            connection.execute("INSERT INTO stored.meta VALUES ('version', ?)", [str(schema.VERSION)])
            self._complete(connection)
            connection.execute("COMMIT")
            return
        if "meta" not in tables:
            raise StorageCorruptError(f"{self.path}: this is not a Driftline database; name another path")
        version = int(connection.execute("SELECT value FROM stored.meta WHERE name = 'version'").fetchall()[0][0])
        while version in schema.MIGRATIONS and not self._read_only:
            if version == schema.LETTERS_IN_A_TABLE:
                carry_over(connection, self._letters)
            connection.execute(f"BEGIN; {schema.MIGRATIONS[version]}")
            connection.execute("UPDATE stored.meta SET value = ? WHERE name = 'version'", [str(version + 1)])
            connection.execute("COMMIT")
            version += 1
        if version != schema.VERSION:
            age = "a newer" if version > schema.VERSION else "an older"
            remedy = (
                "start `driftline up` on it once, which carries it over"
                if version in schema.MIGRATIONS
                else "start the Driftline that wrote it, or move the file away"
            )
            raise StorageCorruptError(
                f"{self.path}: the database is of version {version}, from {age} Driftline; this one reads version "
                f"{schema.VERSION}: {remedy}"
            )
        if not self._read_only:
            self._complete(connection)

    def _complete(self, connection: duckdb.DuckDBPyConnection) -> None:
        """What may be added to a database of this version at any time."""
        connection.execute(schema.ARCHIVE_TABLE)
        connection.execute(schema.POINT_VIEW)
        connection.execute(schema.VIEWS)
        connection.execute("INSERT OR IGNORE INTO stored.meta VALUES ('database', ?)", [uuid.uuid4().hex])

    def _load_newest(self, connection: duckdb.DuckDBPyConnection) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        rows = connection.execute("SELECT series, epoch_ns(max(time)) AS time FROM stored.point GROUP BY series")
        columns = rows.fetchnumpy()
        return np.asarray(columns["series"], np.int32), np.asarray(columns["time"], np.int64)

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

    def _writer(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise ValueError(f"{self.path}: the database is not open")
        return self._connection

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            return self._writer().cursor()

    def _newest_points(self, series: Sequence[int] | None) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        with self._lock:
            return self._newest.of(series)

    def _complete_from(self, series: int) -> int | None:
        newest = self._newest_points([series])[1]
        first = self._first_time(series) if len(newest) else None
        if first is None or self.archive is not None:
            return first
        # A point that came very late stands before a gap until retention takes it away.
        return max(first, int(newest[0]) - parse_duration(self.settings.keep))

    def _begin(self, cursor: duckdb.DuckDBPyConnection) -> tuple[ArchivedFile, ...]:
        with self._archive_lock:
            cursor.execute("BEGIN READ ONLY")
            if self.archive is not None:
                # The transaction sees the tables as of its first look at them, which must not be later than the look
                # at the files: a day may move in between.
                cursor.execute("SELECT position FROM stored.progress").fetchall()
            return self._archived

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

    @contextmanager
    def _maintaining(self, what: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction beside the writer's: both only append to and delete from tables, never the same row."""
        with (
            self._maintenance_lock,
            database_errors(self.path, what),
            self._cursor() as cursor,
            self._transaction(cursor, what),
        ):
            yield cursor

    @contextmanager
    def _transaction(
        self,
        connection: duckdb.DuckDBPyConnection,
        what: str,
        committing: AbstractContextManager[None] = nullcontext(),  # noqa: B008  it holds nothing
    ) -> Iterator[None]:
        with database_errors(self.path, what):
            connection.execute("BEGIN")
            try:
                yield
                with committing:
                    connection.execute("COMMIT")
            except duckdb.FatalException:
                # DuckDB takes itself out of service after such an error; the file itself stands at the last commit.
                self._reconnect()
                raise
            except BaseException:
                self._roll_back(connection)
                raise

    def _roll_back(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            connection.execute("ROLLBACK")
        except duckdb.TransactionException:
            pass
        except duckdb.Error:
            self._reconnect()

    def _reconnect(self) -> None:
        with self._lock:
            self._disconnect()
            self._connect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _require_room(self) -> None:
        limit = self.settings.max_bytes
        if limit is not None and self.size_bytes >= limit:
            raise StorageFullError(f"{self.path}: no room left for storing results: it holds the {limit} bytes allowed")


def _overlapping(files: tuple[ArchivedFile, ...], low: int, high: int) -> list[ArchivedFile]:
    return [file for file in files if file.first <= high and file.last >= low]


def _wal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")
