"""Bounds of what stores keep, to the last point, byte and nanosecond, in the parts that decide them."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import numpy as np
import pytest

from common.storage_errors import StorageFullError
from devices.batch import Batch, ScoredBatch
from devices.messages import MessageChunk
from devices.records import SeriesRecord
from storage.archive import archiving
from storage.archive.parquet_archive import Archive, ArchivedFile, day_of, day_start
from storage.embedded import compaction, schema
from storage.embedded.conflicts import sort_out
from storage.embedded.database import EmbeddedStore
from storage.embedded.query_watch import size_of
from storage.external.outputs import encode_output
from storage.external.spool import RefusedLine, Spool, refused_lines
from storage.journal.sqlite_journal import SqliteJournal
from storage.storage_settings import ArchiveSettings, JournalSettings, StoreSettings
from storage.store import DevicePresence, StepOutput

SECOND = 10**9
DAY = 86_400 * SECOND


def rows(series: list[int], time: list[int], value: list[float]) -> ScoredBatch:
    batch = Batch(np.array(series, np.int32), np.array(time, np.int64), np.array(value, np.float64))
    return ScoredBatch.unscored(batch, late=False)


def sorted_out(
    points: ScoredBatch, behind: list[int], stored: dict[tuple[int, int], float]
) -> tuple[list[int], list[bool], int]:
    def find(series: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys = list(zip(series.tolist(), time.tolist(), strict=True))
        found = [(place, stored[key]) for place, key in enumerate(keys) if key in stored]
        return np.array([place for place, _ in found], np.intp), np.array([value for _, value in found])

    time, duplicate, conflicts = sort_out(points, np.array(behind, np.intp), find)
    return time.tolist(), duplicate.tolist(), conflicts


def test_a_point_that_meets_its_equal_is_a_duplicate_and_another_moves_to_the_next_free_nanosecond() -> None:
    stored = {(0, 5): 1.0, (0, 6): 2.0, (1, 5): 9.0}
    points = rows([0, 0, 0, 0, 1, 2], [5, 5, 5, 7, 5, 5], [1.0, 3.0, 2.0, 4.0, 8.0, 7.0])
    assert sorted_out(points, [0, 1, 2, 4], stored) == ([5, 8, 6, 7, 6, 5], [True, False, True, False, False, False], 2)


def test_points_of_one_batch_meet_each_other_as_those_that_are_stored() -> None:
    points = rows([0, 0, 0, 0], [9, 9, 9, 9], [1.0, 2.0, 1.0, 2.0])
    assert sorted_out(points, [1, 2, 3], {}) == ([9, 10, 9, 10], [False, False, True, True], 1)
    assert sorted_out(points, [], {}) == ([9, 9, 9, 9], [False] * 4, 0)


@pytest.mark.parametrize(("taken", "is_lost"), [(998, False), (999, False), (1_000, True)])
def test_a_point_that_finds_no_place_within_a_microsecond_counts_as_a_duplicate(taken: int, is_lost: bool) -> None:
    stored = {(0, time): -1.0 for time in range(taken)}
    _, duplicate, conflicts = sorted_out(rows([0], [0], [5.0]), [0], stored)
    assert (duplicate, conflicts) == ([is_lost], 0 if is_lost else 1)


@pytest.mark.parametrize(
    ("value", "size"),
    [(1, 16), (None, 16), ("abc", 19), (b"abcd", 20), ([], 16), ([1, "a"], 16 + 16 + 17), ({"a": 1}, 16 + 17 + 16)],
)
def test_an_answer_s_values_are_counted_with_what_they_hold(value: object, size: int) -> None:
    assert size_of(value) == size


def file(day: str, path: str = "a", size: int = 10) -> ArchivedFile:
    return ArchivedFile(f"day={day}/{path}.parquet", day, 1, size, "", day_start(day), day_start(day))


def test_a_day_is_of_utc_and_begins_at_midnight() -> None:
    assert [day_of(time) for time in (0, DAY - 1, DAY, -1)] == ["1970-01-01", "1970-01-01", "1970-01-02", "1969-12-31"]
    assert [day_start(day) for day in ("1970-01-01", "1970-01-03")] == [0, 2 * DAY]


def test_a_file_is_past_its_keeping_once_its_day_ended_so_long_ago() -> None:
    files = [file("1970-01-02"), file("1970-01-03")]
    kept = 5 * DAY
    assert archiving.past_keeping(files, 7 * DAY - 1, kept) == []
    assert archiving.past_keeping(files, 7 * DAY, kept) == files[:1]
    assert archiving.past_keeping(files, 8 * DAY - 1, kept) == files[:1]
    assert archiving.past_keeping(files, 8 * DAY, kept) == files


def days(times: list[int], newest: list[int], after: int, latest: int) -> list[str]:
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS stored; CREATE TABLE stored.point(series INTEGER, time TIMESTAMP_NS)")
        for time in times:
            connection.execute("INSERT INTO stored.point VALUES (0, make_timestamp_ns(?))", [time])
        return archiving.days_to_move(
            connection, (np.zeros(len(newest), np.int32), np.array(newest, np.int64)), after, latest
        )


def test_days_move_that_ended_long_enough_before_the_newest_point_that_is_not_ahead() -> None:
    times = [0, DAY - 1, DAY, 2 * DAY, 3 * DAY]
    newest = [3 * DAY]
    assert days(times, newest, DAY, 99 * DAY) == ["1970-01-01", "1970-01-02"]
    assert days(times, newest, DAY + 1, 99 * DAY) == ["1970-01-01"]
    assert days(times, newest, 0, 99 * DAY) == ["1970-01-01", "1970-01-02", "1970-01-03"]
    assert days(times, newest, 0, 2 * DAY) == ["1970-01-01", "1970-01-02"]
    assert days(times, newest, 0, 2 * DAY - 1) == ["1970-01-01"]
    assert days(times[:1], [0], -DAY, 99 * DAY) == [], "the newest point of a series stays"
    assert days(times, [], 0, 99 * DAY) == []


def test_the_points_of_a_day_go_to_files_of_so_many_and_the_rest_to_one_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "_ROWS_A_FILE", 6)
    monkeypatch.setattr(archiving, "_ROWS_A_BATCH", 3)
    chosen = ArchiveSettings(folder=str(tmp_path / "old"), after="1d")
    with EmbeddedStore(tmp_path / "points.duckdb", StoreSettings(), archive=Archive(chosen)).open() as store:
        for day, count in ((0, 13), (2, 12), (4, 5), (9, 1)):
            time = [day * DAY + number for number in range(count)]
            points = rows([0] * count, time, [1.0] * count)
            store.commit(StepOutput(store.position, store.position + 1, points, [SeriesRecord(0, "pump", "flow")]))
        assert store.move_to_archive() == 30
        assert store.move_to_archive() == 0
        assert [(file.day, file.rows) for file in sorted(store.archived, key=lambda file: (file.day, file.first))] == [
            ("1970-01-01", 6), ("1970-01-01", 6), ("1970-01-01", 1), ("1970-01-03", 6), ("1970-01-03", 6),
            ("1970-01-05", 5),
        ]  # fmt: skip
        assert [(file.first, file.last) for file in store.archived if file.rows == 5] == [(4 * DAY, 4 * DAY + 4)]
        assert (store.points(0).total, store.points(0, 2 * DAY, 4 * DAY + 1).total) == (31, 13)


def test_damaged_files_are_looked_for_as_many_bytes_at_a_time_as_asked(tmp_path: Path) -> None:
    archive = Archive(ArchiveSettings(folder=str(tmp_path / "old")))
    archive.open("me", [], cache=tmp_path)
    files = [file("1970-01-01", name) for name in "abcd"]
    assert archive.find_damaged(files, most_bytes=15)
    assert archive.problem.startswith(f"{tmp_path}/old/day=1970-01-01/a.parquet: missing or damaged, as are 2 of")
    assert archive.find_damaged(files, most_bytes=10)
    assert "as are 4 of" in archive.problem, "of ten bytes the first leaves none, and the second is one too many"
    assert not archive.find_damaged(files)
    assert archive.relation(files).startswith("(SELECT NULL::INTEGER AS series")


def output(position: int, lines: int = 1) -> StepOutput:
    return StepOutput(position, position + 1, rows([0] * lines, list(range(lines)), [1.0] * lines))


def test_a_spool_holds_as_many_bytes_as_it_may_and_drops_no_more_than_it_must(tmp_path: Path) -> None:
    size = len(encode_output(output(0)))
    assert len(encode_output(output(9))) == size
    with Spool(tmp_path / "spool.db", ["a"], max_bytes=3 * size) as spool:
        for position in range(3):
            spool.append(output(position))
        assert (spool.lag("a").outputs, spool.lag("a").dropped) == (3, 0)
        spool.append(output(3))
        assert (spool.lag("a").outputs, spool.lag("a").dropped) == (3, 1)
    with Spool(tmp_path / "spool.db", ["a"], max_bytes=3 * size) as spool:
        spool.append(output(4))
        assert [each.position for _, each in spool.read("a")] == [2, 3, 4]
        entries = [entry for entry, _ in spool.read("a")]
        spool.advance("a", entries[1], written=2)
        spool.append(output(5))
        spool.append(output(6))
        assert (spool.lag("a").outputs, spool.lag("a").dropped, spool.lag("a").written) == (3, 2, 2)
    with pytest.raises(ValueError, match="max_bytes is 0: expected 1 or more"):
        Spool(tmp_path / "none.db", ["a"], max_bytes=0)
    with Spool(tmp_path / "tiny.db", ["a"], max_bytes=1) as spool:
        spool.append(output(0))
        spool.append(output(1))
        assert [each.position for _, each in spool.read("a")] == [1]


def test_of_refused_lines_the_newest_ten_thousand_stay(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db", ["a"]) as spool:
        spool.append(output(0))
        [(entry, _)] = spool.read("a")
        spool.advance("a", entry, [RefusedLine("a", str(number), "no") for number in range(10_001)])
        spool.advance("a", entry, [RefusedLine("a", "last", "no")])
        assert spool.lag("a").refused == 10_002
        kept = [each.line for each in refused_lines(spool.path, 20_000)]
    assert (len(kept), kept[0], kept[1], kept[-1]) == (10_000, "last", "10000", "2")


@pytest.mark.parametrize(
    ("position", "stored", "end", "after", "word"),
    [
        (5, 5, 5, 5, None),
        (5, 4, 5, 5, None),
        (5, 5, 9, 5, None),
        (
            5,
            3,
            4,
            3,
            "stand at journal position 5, but the journal ends at 4: what is scored from 3 on goes to them again",
        ),
        (5, 6, 9, 6, "get nothing of journal positions 5 to 6, which were stored while there were none"),
        (0, 6, 9, 6, None),
    ],
)
def test_a_spool_stands_between_what_is_stored_and_where_the_journal_ends(
    tmp_path: Path, position: int, stored: int, end: int, after: int, word: str | None
) -> None:
    with Spool(tmp_path / "spool.db", ["a"]) as spool:
        if position:
            spool.append(StepOutput(0, position, rows([0], [0], [1.0])))
        said = spool.align(stored, end)
        assert (said is None) if word is None else (said is not None and said.endswith(word))
        assert (spool.position, spool.is_behind(after), spool.is_behind(after + 1)) == (after, False, True)
    with Spool(tmp_path / "spool.db", ["a"]) as spool:
        assert spool.position == after


def test_a_change_of_devices_waits_as_an_output_without_points(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db", ["a", "b"]) as spool:
        assert spool.append(output(0, 3))
        assert not spool.append(output(0, 3))
        spool.note([DevicePresence("pump", 5, True, 1)])
        assert [(spool.lag(sink).outputs, spool.lag(sink).points) for sink in ("a", "b")] == [(2, 3), (2, 3)]
        entries = list(spool.read("a"))
        assert [(each.position, len(each.points), len(each.devices)) for _, each in entries] == [(0, 3, 0), (1, 0, 1)]
        spool.advance("a", entries[0][0], written=3)
        lag = spool.lag("a")
        assert (lag.outputs, lag.points, lag.written, lag.refused, lag.dropped) == (1, 0, 3, 0, 0)


def block(size: int, at: int) -> MessageChunk:
    return MessageChunk.of([(b"t", bytes(size), at, 0)])


def test_chunks_go_that_are_older_than_the_journal_keeps_and_the_last_one_never(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", JournalSettings(keep="5s")) as journal:
        for second in range(4):
            journal.append(block(1, second * SECOND))
        assert journal.compact(99, 5 * SECOND) == 0, "a chunk that is just as old stays"
        assert journal.compact(99, 5 * SECOND + 1) == 1
        assert journal.compact(2, 99 * SECOND) == 1
        assert journal.compact(99, 99 * SECOND) == 1
        assert (journal.first_position, journal.next_position) == (3, 4)
        assert journal.compact(99, 999 * SECOND) == 0


def test_positions_offsets_and_arrivals_go_on_where_the_journal_ended(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    assert (journal.next_position, journal.next_offset, journal.last_arrival) == (0, 0, 0)
    with journal:
        assert journal.first_position == 0
        assert journal.append(MessageChunk.of([(b"t", b"1", 5, 0), (b"t", b"2", 9, 0)])) == 0
        assert journal.append(MessageChunk.of([], ticked_at=12)) == 1
        assert (journal.next_position, journal.next_offset, journal.last_arrival) == (2, 2, 12)
    with SqliteJournal(tmp_path / "journal.db") as again:
        assert (again.next_position, again.next_offset, again.last_arrival) == (2, 2, 12)
        assert [(entry.position, entry.offset, len(entry.chunk)) for entry in again.read(0)] == [(0, 0, 2), (1, 2, 0)]
        assert [len(chunk) for chunk in again.newest_first()] == [0, 2]
        again.compact(1, 10**19)
        assert [len(chunk) for chunk in again.newest_first()] == [0]


def test_a_journal_goes_on_ahead_of_its_end_alone(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db") as journal:
        journal.go_on_from(7, 40)
        assert (journal.first_position, journal.next_position, journal.next_offset) == (6, 7, 40)
        for position in (7, 6):
            with pytest.raises(ValueError, match=f"position {position} is not ahead of 7"):
                journal.go_on_from(position, 40)
        journal.go_on_from(9, 30)
        assert (journal.next_position, journal.next_offset) == (9, 40)
        assert [entry.chunk.begins_session for entry in journal.read(6)] == [True] * 3


def test_a_chunk_that_was_refused_gets_room_for_two_of_it(tmp_path: Path) -> None:
    mebibyte = 1 << 20
    with SqliteJournal(tmp_path / "journal.db", JournalSettings(max_bytes=4 * mebibyte)) as journal:
        for at in range(14):
            journal.append(block(200_000, at))
        assert journal.compact(99, 14) == 0, "three quarters are not yet passed"
        with pytest.raises(StorageFullError):
            journal.append(block(1_560_000, 15))
        assert journal.compact(99, 16) == 10
        assert journal.size_bytes <= 4 * mebibyte - 2 * 1_560_000
        journal.append(block(1_560_000, 17))
        assert journal.compact(99, 18) == 0, "what was refused is in by now"


class Recorded:
    """A connection that keeps the statements that it is given."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.statements: list[str] = []

    def execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        self.statements.append(statement)
        return self.connection.execute(statement)


@pytest.mark.parametrize(
    ("counts", "at_once", "portions"),
    [
        ([4, 4, 4], 10, [(0, 2), (2, 3)]), ([5, 5, 5], 10, [(0, 2), (2, 3)]), ([6, 5, 5], 10, [(0, 1), (1, 3)]),
        ([25, 1], 10, [(0, 2)]), ([4, 4, 4], 12, [(0, 3)]), ([1] * 9, 3, [(0, 3), (3, 6), (6, 9)]),
    ],
)  # fmt: skip
def test_points_are_sorted_in_portions_of_whole_series_of_so_many_points(
    monkeypatch: pytest.MonkeyPatch, counts: list[int], at_once: int, portions: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(compaction, "_ROWS_SORTED_AT_ONCE", at_once)
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS stored")
        for table in ("a", "b"):
            connection.execute(f"CREATE TABLE stored.{table}(series INTEGER, time BIGINT)")
        monkeypatch.setattr(schema, "POINT_COLUMNS", "series, time")
        for series, count in enumerate(counts):
            connection.execute(f"INSERT INTO stored.a SELECT {series}, 9 - range FROM range({count})")
        recorded = Recorded(connection)
        assert compaction.move_sorted(recorded, "a", "b", sum(counts) + 1) == 0
        assert compaction.move_sorted(recorded, "a", "b", sum(counts)) == sum(counts)
        found = connection.execute("SELECT series, time FROM stored.b").fetchall()
        assert (found, connection.execute("SELECT count(*) FROM stored.a").fetchall()) == (sorted(found), [(0,)])
    inserted = [re.findall(r"series >= (\d+) AND series < (\d+)", each) for each in recorded.statements]
    assert [(int(first), int(last)) for each in inserted for first, last in each] == portions
