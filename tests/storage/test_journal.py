import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.storage_errors import StorageCorruptError, StorageFullError
from devices.messages import MessageChunk
from storage.journal.sqlite_journal import SqliteJournal
from storage.storage_settings import JournalSettings
from storage.store import JournalEntry

SECOND = 10**9
SMALL = JournalSettings(max_bytes=1 << 20)

messages = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60)), max_size=8)


def chunk_of(pairs: list[tuple[bytes, bytes]], start: int) -> MessageChunk:
    rows = [(topic, payload, start + i, i % 8) for i, (topic, payload) in enumerate(pairs)]
    return MessageChunk.of(rows, ticked_at=start)


def contents(entry: JournalEntry) -> tuple[object, ...]:
    chunk = entry.chunk
    pairs = [(chunk.topic(i), chunk.payload(i)) for i in range(len(chunk))]
    return entry.position, entry.offset, pairs, chunk.arrival.tolist(), chunk.flags.tolist(), chunk.ticked_at


def block(size: int, at: int) -> MessageChunk:
    return MessageChunk.of([(b"t", bytes(size), at, 0)])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(messages, st.just("reopen"), st.integers(0, 6)), max_size=12))
def test_what_was_appended_is_read_over_reopening_and_compaction(steps: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        journal = SqliteJournal(path, JournalSettings(keep="0s")).open()
        model: list[tuple[object, ...]] = []
        offset, first, arrival = 0, 0, SECOND
        for step in steps:
            if step == "reopen":
                journal.close()
                journal = SqliteJournal(path, JournalSettings(keep="0s")).open()
            elif isinstance(step, int):
                removed = journal.compact(step, arrival + SECOND)
                gone = max(0, min(step, len(model) - 1) - first)
                assert removed == gone
                first += gone
            else:
                assert isinstance(step, list)
                chunk = chunk_of(step, arrival)
                assert journal.append(chunk) == len(model)
                model.append(contents(JournalEntry(len(model), offset, chunk)))
                offset += len(chunk)
                arrival += max(1, len(chunk))
            assert journal.next_position == len(model)
            assert journal.next_offset == offset
            assert journal.first_position == first
            assert journal.last_arrival == (max([model[-1][5], *model[-1][3]]) if model else 0)  # type: ignore[misc]
        assert [contents(entry) for entry in journal.read(first)] == model[first:]
        journal.close()


def test_read_ends_where_the_journal_ended_at_the_call(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db") as journal:
        journal.append(block(10, 1))
        entries = journal.read(0)
        journal.append(block(10, 2))
        assert [entry.position for entry in entries] == [0]
        assert [entry.position for entry in journal.read(1)] == [1]
        assert list(journal.read(2)) == []


def test_positions_outside_the_journal_are_refused_with_the_reason(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", JournalSettings(keep="1s")) as journal:
        for i in range(4):
            journal.append(block(10, i * SECOND))
        assert journal.compact(2, 10 * SECOND) == 2
        with pytest.raises(StorageCorruptError, match=r"position 1 .* compacted away"):
            journal.read(1)
        with pytest.raises(StorageCorruptError, match=r"position 5 .* removed or replaced"):
            journal.read(5)


def test_compaction_keeps_what_is_young_and_what_is_still_needed(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", JournalSettings(keep="5s")) as journal:
        for i in range(10):
            journal.append(block(10, i * SECOND))
        assert journal.compact(0, 100 * SECOND) == 0
        assert journal.compact(10, 9 * SECOND) == 4
        assert journal.first_position == 4
        assert journal.compact(6, 100 * SECOND) == 2
        assert journal.compact(10, 100 * SECOND) == 3
        assert [entry.position for entry in journal.read(9)] == [9]


def test_compaction_bounds_the_size(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", SMALL) as journal:
        for i in range(200):
            journal.append(block(40_000, i))
            journal.compact(i, i)
            assert journal.size_bytes <= SMALL.max_bytes
        assert journal.first_position > 150


def test_compaction_for_room_ends_at_three_quarters_and_removes_no_more(tmp_path: Path) -> None:
    mebibyte = 1 << 20
    with SqliteJournal(tmp_path / "journal.db", JournalSettings(max_bytes=96 * mebibyte)) as journal:
        for i in range(80):
            journal.append(block(mebibyte, i))
        removed = journal.compact(80, 80)
        kept = journal.next_position - journal.first_position
        assert removed + kept == 80
        assert 70 <= kept <= 72


def test_full_journal_refuses_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, SMALL).open()
    appended = 0
    with pytest.raises(StorageFullError, match=r"journal\.db: no room left"):
        for i in range(1000):
            journal.append(block(50_000, i))
            appended += 1
    assert 10 < appended < 22
    assert journal.next_position == appended
    assert len(list(journal.read(0))) == appended
    assert journal.compact(appended, appended) > 0
    assert journal.append(block(50_000, 2000)) == appended
    journal.close()
    with SqliteJournal(path, SMALL) as reopened:
        assert reopened.next_position == appended + 1
        assert [entry.position for entry in reopened.read(reopened.first_position)][-1] == appended


@pytest.mark.parametrize("column", ["data", "spans", "arrival", "flags"])
def test_damaged_entry_is_named(tmp_path: Path, column: str) -> None:
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        for i in range(3):
            journal.append(block(10, i))
    with sqlite3.connect(path) as raw:
        raw.execute(
            f"UPDATE chunk SET {column} = CAST(zeroblob(length({column}) - 1) || x'ff' AS BLOB) WHERE position = 1"
        )
    raw.close()
    with SqliteJournal(path) as journal:
        entries = journal.read(0)
        assert next(entries).position == 0
        with pytest.raises(StorageCorruptError, match=r"journal\.db: position 1 .*wrong checksum"):
            next(entries)


@pytest.mark.parametrize("column", ["data", "spans", "arrival", "flags", "offset", "count", "ticked_at", "crc"])
def test_an_entry_with_a_column_of_another_type_is_damaged(tmp_path: Path, column: str) -> None:
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        journal.append(block(10, 0))
        journal.append(block(10, 1))
    other = "CAST(data AS TEXT)" if column in ("data", "spans", "arrival", "flags") else f"CAST({column} AS BLOB)"
    with sqlite3.connect(path) as raw:
        raw.execute(f"UPDATE chunk SET {column} = {other} WHERE position = 0")
    raw.close()
    with SqliteJournal(path) as journal, pytest.raises(StorageCorruptError, match="position 0 is damaged: wrong check"):
        next(journal.read(0))


def test_damaged_tail_is_refused_at_opening(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        journal.append(block(10, 1))
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE chunk SET ticked_at = 7")
    raw.close()
    with pytest.raises(StorageCorruptError, match=r"position 0 .*wrong checksum"):
        SqliteJournal(path).open()


def test_flipped_bytes_in_the_file_never_pass_unseen(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    written = [chunk_of([(b"topic", bytes([i]) * 4000)], i) for i in range(20)]
    with SqliteJournal(path) as journal:
        for chunk in written:
            journal.append(chunk)
    whole = path.read_bytes()
    random = np.random.default_rng(3)
    for place in random.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            with SqliteJournal(path) as journal:
                seen = [contents(entry) for entry in journal.read(0)]
        except (StorageCorruptError, OSError) as error:
            assert "journal.db" in str(error)
            continue
        assert seen == [contents(JournalEntry(i, i, chunk)) for i, chunk in enumerate(written)][: len(seen)]


def test_other_files_and_versions_are_refused_with_a_clear_word(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    SqliteJournal(path).open().close()
    for version, word in ((99, "version 99, from a newer Driftline"), (0, "version 0, from an older Driftline")):
        with sqlite3.connect(path) as raw:
            raw.execute(f"PRAGMA user_version={version}")
        raw.close()
        with pytest.raises(StorageCorruptError, match=word):
            SqliteJournal(path).open()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as raw:
        raw.execute("CREATE TABLE photos(name TEXT)")
    raw.close()
    with pytest.raises(StorageCorruptError, match="not a Driftline journal"):
        SqliteJournal(other).open()
    text = tmp_path / "text.db"
    text.write_text("hello, this is a text file that is long enough to look at" * 20)
    with pytest.raises(StorageCorruptError, match="damaged"):
        SqliteJournal(text).open()


def test_other_processes_may_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        journal.append(block(10, 1))
        with SqliteJournal(path, read_only=True) as reader:
            assert len(list(reader.read(0))) == 1
            with pytest.raises(ValueError, match="not open for writing"):
                reader.append(block(10, 2))


APPENDER = """
import os, sys
from pathlib import Path
from devices.messages import MessageChunk
from storage.journal.sqlite_journal import SqliteJournal

journal = SqliteJournal(Path(sys.argv[1])).open()
while True:
    at = journal.next_offset
    journal.append(MessageChunk.of([(b"t", b"%d" % (at + i) + bytes(3000), at + i + 1, 1) for i in range(10)]))
    os.write(1, b"%d\\n" % journal.next_offset)
"""


def test_every_acknowledged_append_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    acknowledged = 0
    for lines in (1, 7, 40):
        root = Path(__file__).parents[2]
        child = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(root)},
            cwd=root,
        )
        assert child.stdout is not None
        for _ in range(lines):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split(b"\n")[:-1]
        child.stdout.close()
        child.wait()
        acknowledged = int(rest[-1]) if rest else acknowledged
        with SqliteJournal(path) as journal:
            assert acknowledged <= journal.next_offset <= acknowledged + 10
            entries = list(journal.read(0))
            numbers = [int(entry.chunk.payload(i)[:-3000]) for entry in entries for i in range(len(entry.chunk))]
            assert numbers == list(range(journal.next_offset))
            arrivals = np.concatenate([entry.chunk.arrival for entry in entries]).tolist()
            assert all(a < b for a, b in pairwise(arrivals))


def test_compaction_makes_room_for_a_large_chunk_that_was_refused(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", JournalSettings(max_bytes=1 << 20, keep="1000d")) as journal:
        small = MessageChunk.of([(b"t", bytes(20_000), 1, 1)])
        while journal.size_bytes < 700_000:
            journal.append(small)
        large = MessageChunk.of([(b"t", bytes(400_000), 2, 1)])
        with pytest.raises(StorageFullError):
            journal.append(large)
        assert journal.compact(journal.next_position, 2) > 0
        position = journal.append(large)
        assert [e.position for e in journal.read(position)] == [position]


def test_a_journal_that_lost_its_tail_goes_on_behind_it(tmp_path: Path) -> None:
    chunk = MessageChunk.of([(b"t", b"1", 5, 1), (b"t", b"2", 6, 1)])
    with SqliteJournal(tmp_path / "journal.db") as journal:
        journal.append(chunk)
        journal.go_on_from(4, 9)
        assert (journal.next_position, journal.next_offset) == (4, 9)
        assert journal.append(chunk) == 4
        with pytest.raises(ValueError, match="not ahead"):
            journal.go_on_from(3, 9)
    with SqliteJournal(tmp_path / "journal.db") as journal:
        entries = list(journal.read(0))
    assert [(e.position, e.offset, len(e.chunk)) for e in entries] == [
        (0, 0, 2),
        (1, 9, 0),
        (2, 9, 0),
        (3, 9, 0),
        (4, 9, 2),
    ]
    assert [entry.chunk.begins_session for entry in entries] == [False, True, True, True, False]
    with SqliteJournal(tmp_path / "empty.db") as journal:
        journal.go_on_from(1_000_000, 7)
        assert (journal.first_position, journal.next_position, journal.next_offset) == (999_999, 1_000_000, 7)
