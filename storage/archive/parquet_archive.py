"""Store: the archive: old points as Parquet files, a folder a day, with a manifest of checksums.

A file holds points of one day (UTC) in order of series and time, with the names of device and metric, so that any
program that reads Parquet can use it. It counts from the database transaction on that removes its points there; a file
that a kill left without one is removed. Layout: https://parquet.apache.org/docs/, partitions as Hive names them.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import orjson

from common.extras import optional
from common.storage_errors import StorageCorruptError, StorageFullError
from common.time_units import DAY
from devices.records import SeriesRecord
from storage.storage_settings import ArchiveSettings

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import fs
else:
    pa = optional("pyarrow", extra="archive", purpose="Reading and writing Parquet files")
    pq = optional("pyarrow.parquet", extra="archive", purpose="Reading and writing Parquet files")
    fs = optional("pyarrow.fs", extra="archive", purpose="Reading and writing Parquet files")

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_ROW_GROUP = 131_072
_WRITING = {
    "row_group_size": _ROW_GROUP,
    # A page a column and row group: small pages cost a reader more than they spare it.
    "max_rows_per_page": _ROW_GROUP,
    "data_page_size": 8 << 20,
    "compression": "zstd",
    "store_schema": False,
    # Times grow evenly, and of a forecast and its band the upper bytes change little: that halves a file.
    "use_dictionary": ["series", "device", "metric", "value", "score", "anomaly", "late"],
    "column_encoding": {
        "time": "DELTA_BINARY_PACKED",
        "expected": "BYTE_STREAM_SPLIT",
        "lower": "BYTE_STREAM_SPLIT",
        "upper": "BYTE_STREAM_SPLIT",
    },
}
"""How pyarrow lays a file out."""

_NO_POINTS = (
    "(SELECT NULL::INTEGER AS series, NULL::VARCHAR AS device, NULL::VARCHAR AS metric, NULL::TIMESTAMP_NS AS time, "
    "NULL::DOUBLE AS value, NULL::FLOAT AS score, NULL::FLOAT AS expected, NULL::FLOAT AS lower, "
    "NULL::FLOAT AS upper, NULL::BOOLEAN AS anomaly, NULL::BOOLEAN AS late WHERE false)"
)
"""What stands for files none of which can be read."""

COLUMNS = "series, device, metric, time, value, score, expected, lower, upper, anomaly, late"
"""Columns of a file."""


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One file: `path` within the archive, `day` as YYYY-MM-DD, times of its first and last point in ns."""

    path: str
    day: str
    rows: int
    bytes: int
    sha256: str
    first: int
    last: int


class Archive:
    """The files of one database. Opened by the store that it belongs to.

    `bucket` is a pyarrow filesystem that stands at the bucket's prefix, in place of the one that s3://... means.
    """

    def __init__(self, settings: ArchiveSettings, *, bucket: Any = None) -> None:
        if not settings.folder:
            raise ValueError("archive.folder is empty: expected a folder or s3://BUCKET/PREFIX")
        self.settings = settings
        self.local = None if settings.folder.startswith("s3://") else Path(settings.folder).absolute()
        self.unreachable = ""
        self._files: Any = bucket
        self._cache: Path | None = None
        self._damaged: dict[str, ArchivedFile] = {}
        self._checked: set[str] = set()

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return str(self.local) if self.local is not None else self.settings.folder

    def open(self, owner: str, files: Sequence[ArchivedFile], *, cache: Path, read_only: bool = False) -> None:
        """Find the archive of `owner`, which holds `files`; a new one is made where there are none yet.

        Files of a bucket are read from copies in the folder `cache`, made when they are first asked for. An archive
        that is not there now is no error (`problem`). Raises StorageCorruptError where it is another database's.
        """
        self._cache = cache
        if self.local is not None:
            self._files = fs.SubTreeFileSystem(str(self.local), fs.LocalFileSystem())
        elif self._files is None:
            bucket = self.settings.folder.removeprefix("s3://").rstrip("/")
            options = {"endpoint_override": self.settings.s3_endpoint, "region": self.settings.s3_region}
            chosen = {name: value for name, value in options.items() if value}
            scheme = "https" if self.settings.s3_tls else "http"
            self._files = fs.SubTreeFileSystem(bucket, fs.S3FileSystem(scheme=scheme, **chosen))
        self.look(owner, files, read_only=read_only)

    def look(self, owner: str, files: Sequence[ArchivedFile], *, read_only: bool = False) -> None:
        """See whether the archive is there, and whether files that could not be read can be by now.

        Raises StorageCorruptError where it is another database's.
        """
        try:
            found = self._manifest()
            if found is None and files:
                points = sum(file.rows for file in files)
                self.unreachable = (
                    f"{self.place}: the archive with {points:,} points is not there: mount it, or restore it from a "
                    "backup; until then charts lack them, and nothing more is moved there"
                )
                return
            if found is None and not read_only:
                if self.local is not None:
                    self.local.mkdir(parents=True, exist_ok=True)
                self.write_manifest(owner, files)
        except (OSError, StorageFullError) as error:
            self.unreachable = f"{self.place}: the archive cannot be reached: {error}"
            return
        if found is not None and found.get("database") != owner:
            raise StorageCorruptError(
                f"{self.place}/{MANIFEST}: the archive belongs to another database, {found.get('database')}; "
                "name another folder in archive.folder"
            )
        self.unreachable = ""
        again = [file for file in self._damaged.values() if not self.verify([file])]
        for file in again:
            del self._damaged[file.path]

    @property
    def problem(self) -> str:
        """What cannot be read, in one sentence; empty where all can."""
        if self.unreachable or not self._damaged:
            return self.unreachable
        files = list(self._damaged.values())
        points = sum(file.rows for file in files)
        return (
            f"{self.place}/{files[0].path}: missing or damaged, as are {len(files)} of the archive's files with "
            f"{points:,} points: restore them from a backup; all else is answered without them"
        )

    def find_damaged(self, files: Sequence[ArchivedFile], *, most_bytes: int | None = None) -> bool:
        """Read files not read before, of about `most_bytes` at once, and set those aside whose checksum is wrong.

        Returns whether any is newly set aside.
        """
        found, room = False, most_bytes
        for file in files:
            if file.path in self._damaged or (most_bytes is not None and file.path in self._checked):
                continue
            if room is not None:
                room -= file.bytes
            if self.verify([file]):
                self._damaged[file.path] = file
                found = True
            self._checked.add(file.path)
            if room is not None and room < 0:
                break
        return found

    def write(self, day: str, columns: pa.Table, names: Sequence[SeriesRecord]) -> ArchivedFile:
        """Write points of one day, in order of series and time, as one more file; it is durable when this returns.

        `columns` are those of a point; `names` holds every series in order of its index. Raises StorageFullError,
        OSError.
        """
        data = _parquet(columns, names)
        path = f"day={day}/{uuid4().hex}.parquet"
        self._put(path, data)
        time = np.asarray(columns.column("time").cast(pa.int64()))
        digest = hashlib.sha256(data).hexdigest()
        return ArchivedFile(path, day, len(time), len(data), digest, int(time.min()), int(time.max()))

    def write_manifest(self, owner: str, files: Sequence[ArchivedFile]) -> None:
        """List the files with their checksums."""
        listed = [asdict(file) for file in sorted(files, key=lambda file: (file.day, file.path))]
        text = orjson.dumps({"version": 1, "database": owner, "files": listed}, option=orjson.OPT_INDENT_2)
        self._put(MANIFEST, text)

    def remove_others(self, files: Sequence[ArchivedFile]) -> int:
        """Remove Parquet files that are not among `files`: what a kill or a merge left behind. Returns how many."""
        known = {file.path for file in files}
        found = self._files.get_file_info(fs.FileSelector("", recursive=True, allow_not_found=True))
        others = [
            info.path
            for info in found
            if info.type == fs.FileType.File and info.path.endswith((".parquet", ".tmp")) and info.path not in known
        ]
        for path in others:
            self._files.delete_file(path)
        for copy in self._cache.rglob("*.parquet") if self._cache is not None and self.local is None else ():
            if copy.relative_to(self.readable).as_posix() not in known:
                copy.unlink()
        return len(others)

    def verify(self, files: Sequence[ArchivedFile]) -> list[str]:
        """Read every file and compare its checksum; returns a sentence for each that is missing or damaged."""
        words = []
        for file in files:
            try:
                if self._files.get_file_info(file.path).type not in (fs.FileType.File, fs.FileType.NotFound):
                    raise OSError("it is no file")  # a pipe would be waited for
                with self._files.open_input_stream(file.path) as stream:
                    digest = hashlib.sha256(stream.read()).hexdigest()
            except OSError as error:
                words.append(f"{self.place}/{file.path}: cannot be read: {error}")
                continue
            if digest != file.sha256:
                words.append(f"{self.place}/{file.path}: wrong checksum: restore it from a backup")
        return words

    @property
    def readable(self) -> Path:
        """The folder that SQL reads: the archive itself, or the copies of a bucket's files."""
        if self.local is None and self._cache is None:
            raise ValueError(f"{self.place}: the archive is not open")
        return self.local or self._cache or Path()

    def relation(self, files: Sequence[ArchivedFile]) -> str:
        """SQL that stands for the points of those of `files` that can be read."""
        usable = [file for file in files if self.is_usable(file)]
        if not usable:
            return _NO_POINTS
        paths = ", ".join("'" + str(self.readable / file.path).replace("'", "''") + "'" for file in usable)
        return f"read_parquet([{paths}], hive_partitioning = false)"

    def is_usable(self, file: ArchivedFile) -> bool:
        """Whether a file can be read, as far as that is seen without reading it."""
        if self.unreachable or file.path in self._damaged:
            return False
        try:
            if self.local is None:
                self._copy(file)
                return True
            if (self.local / file.path).stat().st_size == file.bytes:
                return True
        except OSError as error:
            log.error("%s/%s: %s", self.place, file.path, error)
        self._damaged[file.path] = file
        return False

    def _copy(self, file: ArchivedFile) -> None:
        target = self.readable / file.path
        if target.is_file() and target.stat().st_size == file.bytes:
            return
        with self._files.open_input_stream(file.path) as stream:
            data = stream.read()
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise OSError(f"{self.place}/{file.path}: wrong checksum: restore it from a backup")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(f".{uuid4().hex}")
        temporary.write_bytes(data)
        temporary.replace(target)

    def _manifest(self) -> Any:
        try:
            with self._files.open_input_stream(MANIFEST) as stream:
                return orjson.loads(stream.read())
        except FileNotFoundError:
            return None
        except orjson.JSONDecodeError:
            log.error("%s/%s: not a manifest: it is written anew", self.place, MANIFEST)
            return None

    def _put(self, path: str, data: bytes) -> None:
        if self.local is None:
            with self._files.open_output_stream(path) as stream:
                stream.write(data)
            return
        target = self.local / path
        temporary = target.with_suffix(".tmp")
        try:
            target.parent.mkdir(exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno in {28, 122}:
                raise StorageFullError(f"{target}: no room left for the archive: the disk is full") from error
            raise


def day_of(time: int) -> str:
    """The day (UTC) of a time in ns, as YYYY-MM-DD."""
    return datetime.fromtimestamp(time // DAY * 86_400, UTC).strftime("%Y-%m-%d")


def day_start(day: str) -> int:
    """Its first moment in ns."""
    return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 10**9


def _parquet(columns: pa.Table, names: Sequence[SeriesRecord]) -> bytes:
    series = columns.column("series")
    texts = {"device": [record.device for record in names], "metric": [record.metric for record in names]}
    named = {name: pa.array(values, pa.string()).take(series) for name, values in texts.items()}
    table = pa.table({name: named.get(name, columns[name] if name not in named else None) for name in _names()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **_WRITING)
    return bytes(sink.getvalue())


def _names() -> list[str]:
    return COLUMNS.split(", ")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
