"""Store: the file of the embedded database: opened, brought to this version's layout, and its transactions.

DuckDB syncs its write-ahead log before a commit returns.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import orjson
from numpy.typing import NDArray

from common.durations import parse_duration
from common.storage_errors import StorageCorruptError
from storage.archive import archive_changes, archiving
from storage.archive.parquet_archive import Archive, ArchivedFile
from storage.dead_letters import DeadLetters, letters_path
from storage.embedded import schema
from storage.embedded.columns import NewestTimes
from storage.embedded.database_errors import database_errors
from storage.embedded.letter_table import carry_over
from storage.embedded.older import QueriesWithOlder
from storage.embedded.priority import made_giving_way
from storage.embedded.stream_tables import STREAM_TABLES
from storage.external.reader_parts import ExternalReader
from storage.storage_settings import ArchiveSettings, StoreSettings

_QUERY_MEMORY_SHARE = 2
"""What a query makes outside the database engine's own bound may take so many times as much."""


class DatabaseFile(QueriesWithOlder):
    """One DuckDB file with its archive and its dead letters, and the queries of `QueriesWithOlder` on them."""

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

    @property
    def archive_problem(self) -> str:
        """What of the archive cannot be read, in one sentence; empty where all can, and without an archive."""
        return "" if self.archive is None else self.archive.problem

    @property
    def archived(self) -> tuple[ArchivedFile, ...]:
        """The files of the archive, in order of day."""
        return self._archived

    @property
    def size_bytes(self) -> int:
        """Bytes of the file and of its write-ahead log."""
        return sum(path.stat().st_size for path in (self.path, write_ahead_log(self.path)) if path.exists())

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
        connection.execute(archive_changes.TABLE)
        connection.execute(schema.EXCLUDED_TABLE)
        connection.execute(schema.EXCLUSION_TABLE)
        connection.execute(schema.EXCLUDED_BEFORE)
        connection.execute(schema.POINT_VIEW)
        connection.execute(schema.VIEWS)
        connection.execute(STREAM_TABLES)
        connection.execute("INSERT OR IGNORE INTO stored.meta VALUES ('database', ?)", [uuid.uuid4().hex])

    def _load_newest(
        self, connection: duckdb.DuckDBPyConnection, series: Sequence[int] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Those of `series` (of all) that have points, and the newest time of each."""
        where = "" if series is None else f"WHERE series IN ({', '.join(str(int(each)) for each in series)}) "
        rows = connection.execute(
            f"SELECT series, epoch_ns(max(time)) AS time FROM stored.point {where}GROUP BY series"
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


def write_ahead_log(path: Path) -> Path:
    """Where DuckDB keeps what is committed and not yet carried over into the file."""
    return path.with_name(path.name + ".wal")
