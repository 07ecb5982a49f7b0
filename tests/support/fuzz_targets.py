"""What is fuzzed: one function a target, which takes any bytes and fails where a promise does not hold."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import duckdb
import numpy as np

from common.storage_errors import StorageCorruptError
from devices.codec import Codec
from devices.codecs.codec_registry import codec_names, create
from devices.messages import MessageChunk
from driftline.config import parse_config
from driftline.config_errors import ConfigError
from ingest.frames import ReceiveBuffer, Stop
from storage.embedded.sql_cost import check_cost
from storage.embedded.sql_guard import VIEWS, QueryError, check_query, query_nodes
from storage.journal.sqlite_journal import SqliteJournal
from storage.snapshots import SnapshotStore

_LONGEST_PAYLOAD = 100
_PATCH = 4
_ENTRIES = 12


def frames(data: bytes) -> None:
    """Any bytes from a broker: read in pieces, they give the messages that they give whole."""
    version_5, piece, stream = bool(data[:1] > b"\x7f"), 1 + (data[0] & 63 if data else 0), data[1:]
    assert _messages(stream, piece, version_5=version_5) == _messages(stream, len(stream) or 1, version_5=version_5)


def codecs(data: bytes) -> None:
    """Any payload, whatever codec reads it: finite values of known names, or a reason in words."""
    names = codec_names()
    codec = create(names[data[0] % len(names)] if data else names[0])
    payload = data[1:]
    first, again = (_readings(codec, [payload, payload]) for _ in range(2))
    assert first == again, "what a codec has learned changes nothing"


def journal(data: bytes) -> None:
    """A journal that was written over anywhere: each entry comes back as it was, or the damage is named."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.db")
        path.write_bytes(_patched(_whole_journal(), data))
        try:
            with SqliteJournal(path) as opened:
                for entry in opened.read(opened.first_position):
                    assert entry.chunk.payload(0) == b"%d" % entry.position * 50
        except (StorageCorruptError, OSError) as error:
            assert "journal.db" in str(error)


def snapshots(data: bytes) -> None:
    """Snapshots that were written over anywhere: an intact one, or the damage is named; what is saved then loads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "snapshots.db")
        path.write_bytes(_patched(_whole_snapshots(), data))
        try:
            store = SnapshotStore(path).open()
        except (StorageCorruptError, OSError) as error:
            assert "snapshots.db" in str(error)
            return
        with store:
            with contextlib.suppress(StorageCorruptError, OSError):
                saved = store.load()
                assert saved is None or saved.parts["part"].tolist() == [float(saved.position)] * 5_000
            store.save(9, "", {"part": np.full(5_000, 9.0)}, {"at": 9})
        with SnapshotStore(path) as store:
            saved = store.load()
            assert max(store.positions) >= 9
        assert saved is not None
        assert saved.position == 9


def config(data: bytes) -> None:
    """Any text as a configuration: settings, or every mistake in words."""
    try:
        parse_config(data.decode(errors="replace"))
    except ConfigError as error:
        assert error.errors
        assert all(error.errors)


def sql(data: bytes) -> None:
    """Any text as a query: one statement that selects, or a reason in words."""
    text = data.decode(errors="replace")
    try:
        checked = check_query(_database(), text)
        check_cost(query_nodes(_database(), text), checked.views)
    except QueryError as error:
        assert str(error)
        return
    [statement] = duckdb.extract_statements(text)
    assert statement.type == duckdb.StatementType.SELECT, statement.type
    with contextlib.suppress(duckdb.Error):  # what names no function or column there is does not come to tables
        named = {name.lower() for name in duckdb.get_table_names(text)}  # SQL does not tell letters by their case
        assert named <= {*VIEWS, *_named_within(text)}


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (frames, codecs, journal, snapshots, config, sql)
}


def _named_within(text: str) -> set[str]:
    """Words of the text that a WITH in it may give to queries of its own."""
    words = text.lower().replace(",", " ").replace("(", " ").replace('"', " ").split()
    return set(words) if "with" in text.lower() else set()


def _messages(stream: bytes, piece: int, *, version_5: bool) -> tuple[list[tuple[bytes, bytes]], str]:
    """Topics and payloads that a stream gives in pieces, and what ended it."""
    buffer = ReceiveBuffer(group_bytes=4_096, max_payload=_LONGEST_PAYLOAD)
    found: list[tuple[bytes, bytes]] = []
    place = 0

    def receive(room: memoryview) -> int:
        part = stream[place : place + min(piece, len(room))]
        room[: len(part)] = part
        return len(part)

    while True:
        count, _ = buffer.fill(receive)
        place += count
        stop = buffer.split(version_5)
        while stop == Stop.OTHER:
            buffer.frame()
            stop = buffer.split(version_5)
        found += [buffer.message(row) for row in range(buffer.rows)]
        if buffer.rows:
            buffer.stamp(0, 1)
            buffer.take()
        if stop == Stop.MALFORMED:
            return found, "malformed"
        if count == 0 and stop == Stop.INCOMPLETE:
            return found, "the end"


def _readings(codec: Codec, payloads: list[bytes]) -> list[tuple[int, str, float]]:
    decoded = codec.decode(MessageChunk.of([(b"t", payload, 1, 0) for payload in payloads]).payloads())
    assert np.isfinite(decoded.value).all()
    assert all(rejected.detail for rejected in decoded.rejected)
    named = {rejected.message for rejected in decoded.rejected}
    assert set(decoded.message.tolist()) | named == set(range(len(payloads))), "each payload has its place"
    rows = zip(decoded.message.tolist(), decoded.metric.tolist(), decoded.value.tolist(), strict=True)
    return [(message, str(codec.metrics[metric]), value) for message, metric, value in rows]


def _patched(whole: bytes, data: bytes) -> bytes:
    """The file with bytes of it written over: three bytes of `data` say where, one what, and so on."""
    damaged = bytearray(whole)
    for start in range(0, len(data) - _PATCH + 1, _PATCH):
        damaged[int.from_bytes(data[start : start + 3]) % len(damaged)] = data[start + 3]
    return bytes(damaged)


@lru_cache
def _whole_journal() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.db")
        with SqliteJournal(path) as made:
            for position in range(_ENTRIES):
                made.append(MessageChunk.of([(b"topic", b"%d" % position * 50, position + 1, 1)]))
        return _settled(path)


@lru_cache
def _whole_snapshots() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "snapshots.db")
        with SnapshotStore(path) as store:
            for position in range(3):
                store.save(position, "", {"part": np.full(5_000, float(position))}, {"at": position})
        return _settled(path)


def _settled(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.read_bytes()


@lru_cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()
