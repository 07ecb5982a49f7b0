"""What people and housekeeping do to the embedded database: devices, marks, moves, letters, tables of functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.storage_errors import StorageFullError
from devices.batch import Batch, ScoredBatch
from devices.records import (
    ActionRecord,
    AlarmRecord,
    AlarmState,
    DeadLetter,
    DeviceRecord,
    PointsMark,
    SeriesMove,
    SeriesRecord,
    StateRecord,
)
from storage.embedded import stream_tables
from storage.embedded.database import EmbeddedStore
from storage.embedded.sql_guard import QueryError
from storage.storage_settings import StoreSettings
from storage.store import StepOutput, StreamProgress, StreamResult

SECOND = 10**9
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
NAMES = [SeriesRecord(0, "pump", "flow"), SeriesRecord(1, "pump", "temp"), SeriesRecord(2, "fan", "speed")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "points.duckdb", StoreSettings(keep="2d", keep_dead_letters="1d")).open() as opened:
        yield opened


def rows(*points: tuple[int, int, float]) -> ScoredBatch:
    columns = list(zip(*points, strict=True)) or [(), (), ()]
    kinds = (np.int32, np.int64, np.float64)
    batch = Batch(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))
    plain = ScoredBatch.unscored(batch, late=False)
    return replace(plain, expected=batch.value + 0.5, lower=batch.value - 1, upper=batch.value + 2)


def put(store: EmbeddedStore, *points: tuple[int, int, float], **more: object) -> None:
    position = store.position
    store.commit(StepOutput(position, position + 1, rows(*points), **{"series": NAMES, **more}))  # type: ignore[arg-type]


def told(store: EmbeddedStore, series: int) -> list[tuple[int, float]]:
    found = store.points(series)
    return list(zip(found.time.tolist(), found.value.tolist(), strict=True))


def test_points_of_a_stretch_stand_apart_and_come_back_without_its_end(store: EmbeddedStore) -> None:
    put(store, *((0, time, float(time)) for time in range(6)), (1, 3, 9.0))
    put(store, marked=[PointsMark(0, 2, 4, excluded=True)])
    assert (told(store, 0), told(store, 1)) == ([(0, 0.0), (1, 1.0), (4, 4.0), (5, 5.0)], [(3, 9.0)])
    assert store.exclusion_counts("pump", "flow", 0, 6) == (2, 4)
    assert store.exclusion_counts("pump", "flow", 3, 5) == (1, 1)
    assert store.exclusion_counts("pump", "flow", 4, 5) == (0, 1)
    put(store, marked=[PointsMark(0, 3, 9, excluded=False)])
    assert told(store, 0) == [(0, 0.0), (1, 1.0), (3, 3.0), (4, 4.0), (5, 5.0)]
    put(store, marked=[PointsMark(0, 4, 9, excluded=True)])
    assert store.latest([0]).time.tolist() == [3], "what is excluded is not the newest"


def test_a_series_becomes_part_of_another_in_its_unit_and_what_meets_a_point_moves_on(store: EmbeddedStore) -> None:
    alarm = AlarmRecord(7, 0, AlarmState.OPEN, 5, None, "major", 3.0, 1.0, 2.0, "odd")
    put(store, (0, 5, 10.0), (0, 9, 20.0), (1, 5, 1.0), alarms=[alarm], states=[StateRecord(0, 5, "on")])
    put(store, moved=[SeriesMove(0, 1, scale=2.0, offset=1.0)])
    assert (told(store, 0), told(store, 1)) == ([], [(5, 1.0), (6, 21.0), (9, 41.0)])
    moved = store.points(1)
    assert moved.expected.tolist() == [1.5, 22.0, 42.0]
    assert (moved.lower.tolist(), moved.upper.tolist()) == ([0.0, 19.0, 39.0], [3.0, 25.0, 45.0])
    assert [each.series for each in store.alarms()] == [1]
    assert store.query("SELECT device, metric, text FROM states").rows == [("pump", "temp", "on")]


def test_series_that_are_deleted_go_with_all_that_is_stored_of_them(store: EmbeddedStore) -> None:
    alarms = [AlarmRecord(n, n, AlarmState.OPEN, 5, None, "major", 3.0, 1.0, 2.0, "odd") for n in range(3)]
    states = [StateRecord(n, 5, "on") for n in range(3)]
    put(store, (0, 5, 1.0), (1, 5, 2.0), (2, 5, 3.0), (0, 6, 4.0), alarms=alarms, states=states)
    put(store, marked=[PointsMark(0, 6, 7, excluded=True)])
    put(store, deleted=[0, 2], series=[replace(NAMES[0], gone_at=3), replace(NAMES[2], gone_at=3)])
    assert [told(store, series) for series in range(3)] == [[], [(5, 2.0)], []]
    assert [each.alarm for each in store.alarms()] == [1]
    assert store.exclusion_counts("pump", "flow", 0, 99) == (0, 0)
    assert [record.series for record in store.series()] == [1]
    assert [(record.series, record.gone_at) for record in store.all_series()] == [(0, 3), (1, None), (2, 3)]
    assert store.latest().series.tolist() == [1]


def test_devices_are_what_was_said_of_them_last(store: EmbeddedStore) -> None:
    pump = DeviceRecord("pump", labels={"hall": "1"}, first_seen=5)
    named = replace(pump, name="Pump 7", retired_at=9, muted_at=10, merged_into="fan", merged_at=11)
    put(store, registered=[pump, DeviceRecord("fan"), named])
    assert store.devices() == [DeviceRecord("fan"), named]
    assert store.labels(["pump", "fan", "other"]) == {"pump": {"hall": "1"}}
    assert sorted(store.first_seen(), key=str) == [5, None]
    put(store, registered=[pump], forgotten=["fan"])
    assert store.devices() == [pump]


def test_some_series_are_read_without_the_others_and_sites_know_their_size(store: EmbeddedStore) -> None:
    devices = [
        "hall/a",
        "hall/b",
        "hall/b/c",
        "/odd",
        "odd/",
        "a//b",
        "hälle/\U0001f469\U0001f3fd/ü",
        "lonely",
        "gone/x",
    ]
    names = [SeriesRecord(2 * n + m, name, f"m{m}") for n, name in enumerate(devices) for m in range(2)]
    names[-2:] = [replace(each, gone_at=1) for each in names[-2:]]
    put(store, series=names)
    assert store.series_numbered([3, 2, 99, 16]) == {2: names[2], 3: names[3]}
    assert store.series_of_device("hall/b") == names[2:4]
    assert store.series_of_device("gone/x") == []
    sites = {"hall": 2, "hall/b": 1, "/odd": 1, "odd": 1, "a/": 1, "hälle/\U0001f469\U0001f3fd": 1, "lonely": 1}
    assert store.site_sizes([*sites, "gone", "nowhere"]) == sites


def alarm(number: int, state: AlarmState, opened: int, series: int = 0) -> AlarmRecord:
    cleared = opened + 1 if state is AlarmState.CLEARED else None
    return AlarmRecord(number, series, state, opened, cleared, "minor", 3.0, 1.0, 2.0, "odd", {"level": 1.5})


def test_alarms_and_actions_are_given_the_newest_first_as_asked_for(store: EmbeddedStore) -> None:
    given = [
        alarm(1, AlarmState.OPEN, 5), alarm(2, AlarmState.CLEARED, 9), alarm(3, AlarmState.ACKNOWLEDGED, 5, 1),
        alarm(4, AlarmState.OPEN, 7),
    ]  # fmt: skip
    actions = [
        ActionRecord(position, number, about, "acknowledge", "Ana", 5, "seen")
        for position, number, about in ((3, 0, 1), (3, 1, None), (4, 0, 1), (5, 0, 2))
    ]
    put(store, alarms=given, actions=actions)
    assert [each.alarm for each in store.alarms()] == [2, 4, 3, 1]
    assert [each.alarm for each in store.alarms(limit=2)] == [2, 4]
    assert [each.alarm for each in store.alarms(open_only=True)] == [4, 3, 1]
    assert [each.alarm for each in store.alarms(state=AlarmState.OPEN, series=0)] == [4, 1]
    assert store.alarms(state=AlarmState.CLEARED) == [given[1]]
    assert store.actions() == actions[::-1]
    assert store.actions(1) == [actions[2], actions[0]]
    assert store.actions(limit=2) == [actions[3], actions[2]]


def test_points_move_in_time_and_those_whose_place_is_taken_stay(store: EmbeddedStore) -> None:
    put(store, (0, 10, 1.0), (0, 20, 2.0), (0, 30, 3.0), (2, 10, 4.0))
    assert store.move_times(10, 30, 10) == (1, 2)
    assert (told(store, 0), told(store, 2)) == ([(10, 1.0), (20, 2.0), (30, 3.0)], [(20, 4.0)])


def test_points_of_some_devices_move_in_time_alone_and_are_the_newest_where_they_stand(store: EmbeddedStore) -> None:
    put(store, (0, 10, 1.0), (1, 10, 2.0), (2, 10, 3.0))
    assert store.move_times(10, 11, 1_000, ["fan"]) == (1, 0)
    assert [told(store, series) for series in range(3)] == [[(10, 1.0)], [(10, 2.0)], [(1_010, 3.0)]]
    assert store.latest([2]).time.tolist() == [1_010]
    assert store.move_times(10, 10, 1_000) == (0, 0)
    assert store.move_times(0, 10, 1_000) == (0, 0)


def test_points_go_that_are_older_than_the_tenth_newest_by_what_is_kept(store: EmbeddedStore) -> None:
    last = 100 * DAY
    tail = [(0, last + number, 1.0) for number in range(10)]
    put(store, (0, last - 2 * DAY - 1, 1.0), (0, last - 2 * DAY, 1.0), *tail, (1, 5, 2.0))
    put(store, (0, last + DAY, 9.0))
    put(store, marked=[PointsMark(0, last - 2 * DAY - 1, last - 2 * DAY, excluded=True)])
    assert store.apply_retention(last + 1) == 1, "a point that is just as old as points are kept stays"
    assert store.exclusion_counts("pump", "flow", 0, 200 * DAY) == (0, 12)
    assert store.apply_retention(last + 2 * DAY) == 1
    assert store.exclusion_counts("pump", "flow", 0, 200 * DAY) == (0, 11)
    assert told(store, 1) == [(5, 2.0)], "a series' own points say how old it is"


def test_a_point_up_to_an_hour_ahead_of_the_clock_makes_others_old(store: EmbeddedStore) -> None:
    now = 100 * DAY
    put(store, (0, now - 2 * DAY, 0.0), *((0, now + HOUR + number, 1.0) for number in range(10)))
    assert store.apply_retention(now) == 0, "one of ten alone is not ahead"
    put(store, *((1, time, 1.0) for time in [now - 2 * DAY, *range(now + HOUR - 9, now + HOUR + 1)]))
    assert store.apply_retention(now) == 1
    assert store.points(1).total == 10


def letter(offset: int, reason: str = "malformed", arrival: int = 0) -> DeadLetter:
    return DeadLetter(offset, arrival, "a/b", b'{"a"', 4, reason, "why", {reason: 2})


def test_dead_letters_are_found_counted_removed_and_read_by_sql(store: EmbeddedStore) -> None:
    letters = [letter(1), letter(2, "late", arrival=5), letter(3, "late")]
    put(store, dead_letters=letters)
    assert store.dead_letters(2) == [letters[2], letters[1]]
    assert store.find_dead_letters([3, 1]) == [letters[0], letters[2]]
    assert store.find_dead_letters(reason="late", limit=1) == [letters[2]]
    assert store.dead_letter_reasons() == {"late": 2, "malformed": 1}
    sql = (
        'SELECT "offset", epoch_ns(arrival), payload, rejected, payload_bytes FROM dead_letters ORDER BY "offset" DESC'
    )
    assert store.query(sql, 2).rows == [(3, 0, '{"a"', {"late": 2}, 4), (2, 5, '{"a"', {"late": 2}, 4)]
    store.remove_dead_letters([3, 2])
    assert store.dead_letters() == letters[:1]
    store.apply_retention(DAY)
    assert store.dead_letters() == letters[:1], "a letter that is just as old as they are kept stays"
    store.apply_retention(DAY + 1)
    assert store.dead_letters() == []


def test_more_letters_than_are_read_at_once_are_all_in_the_table(store: EmbeddedStore) -> None:
    put(store, dead_letters=[letter(number) for number in range(2_001)])
    assert store.query('SELECT count(*), min("offset"), max("offset") FROM dead_letters').rows == [(2_001, 0, 2_000)]


@pytest.mark.parametrize(
    ("limit", "count", "truncated"), [(299, 299, True), (300, 300, False), (301, 300, False), (0, 0, True)]
)
def test_a_query_gives_as_many_rows_as_asked_for_and_says_whether_there_are_more(
    store: EmbeddedStore, limit: int, count: int, truncated: bool
) -> None:
    found = store.query("SELECT range FROM range(300)", limit)
    assert (len(found.rows), found.truncated, found.columns) == (count, truncated, ["range"])


def test_a_query_s_answer_takes_as_many_bytes_as_it_may(store: EmbeddedStore) -> None:
    row = 16 + 16
    assert [len(store.query("SELECT range FROM range(9)", max_bytes=most).rows) for most in (3 * row, 3 * row - 1)] == [
        3,
        2,
    ]
    assert store.query("SELECT range FROM range(3)", max_bytes=3 * row).truncated is False


def result(start: int, *values: object, name: str = "hourly", revision: int = 0, topic: str = "") -> StreamResult:
    return StreamResult(
        name,
        start,
        start + HOUR,
        "[]",
        "final",
        revision,
        7,
        (("n", "BIGINT"),),
        [(value,) for value in values],
        topic=topic,
    )


def test_of_rows_that_wait_to_be_published_the_newest_stay_and_the_others_are_counted(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_tables, "MOST_WAITING", 2)
    progress = [StreamProgress("hourly", {"rows": 3}, HOUR, "")]
    put(store, stream_results=[result(0, 1, 2, 3, topic="out")], stream_progress=progress)
    assert [(each.number, each.topic, each.stream) for each in store.waiting_messages(0)] == [
        (number, "out", "hourly") for number in (1, 2, 3)
    ]
    assert [each.number for each in store.waiting_messages(1, 1)] == [2]
    store.apply_retention(0)
    assert [each.number for each in store.waiting_messages(0)] == [2, 3]
    store.forget_messages(2, {("hourly", "published"): 1, ("gone", "published"): 4})
    assert [each.number for each in store.waiting_messages(0)] == [3]
    assert store.streams()["hourly"].counts == {"rows": 3, "unpublished": 1, "published": 1}
    store.apply_retention(0)
    assert [each.number for each in store.waiting_messages(0)] == [3]


def test_rows_of_a_stream_go_that_ended_longer_ago_than_points_are_kept(store: EmbeddedStore) -> None:
    progress = [StreamProgress(name, {}, None, "") for name in ("hourly", "other")]
    given = [result(0, 1), result(1, 2), result(2 * DAY + 1, 3), result(0, 9, name="other")]
    put(store, stream_results=given, stream_progress=progress)
    assert [store.apply_retention(0), store.query("SELECT n FROM hourly ORDER BY n").rows] == [0, [(2,), (3,)]]
    assert store.query("SELECT n FROM other").rows == [(9,)]


def test_rows_that_functions_write_stand_once_a_key_in_a_table_of_their_own(store: EmbeddedStore) -> None:
    store.write_row("notes", {"Who": "Ana", "n": 1}, key="a", time=5)
    store.write_row("notes", {"who": "Ben", "n": 2.5, "ok": True}, key="b", time=6)
    store.write_row("notes", {"who": "Eve"}, key="a", time=7)
    rows_of_notes = store.query('SELECT epoch_ns(written_at), "Who", n, ok FROM notes ORDER BY 1').rows
    assert rows_of_notes == [(5, "Ana", 1.0, None), (6, "Ben", 2.5, True)]
    assert store.streams()["notes"].counts == {"written": 2}
    put(store, stream_progress=[StreamProgress("hourly", {}, None, "")])
    with pytest.raises(ValueError, match='"hourly" is the table of a stream; choose another name'):
        store.write_row("hourly", {"n": 1}, key="a", time=5)


@pytest.mark.parametrize(
    ("first", "then", "kind"),
    [
        ("INTEGER", "BIGINT", "BIGINT"), ("BIGINT", "UBIGINT", "HUGEINT"), ("UBIGINT", "BIGINT", "HUGEINT"),
        ("BIGINT", "DOUBLE", "DOUBLE"), ("HUGEINT", "FLOAT", "DOUBLE"), ("DECIMAL(5,1)", "TINYINT", "DOUBLE"),
        ("BOOLEAN", "BIGINT", "VARCHAR"), ("BOOLEAN", '"NULL"', "BOOLEAN"), ('"NULL"', "DATE", "DATE"),
        ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_NS"), ("TIMESTAMP[]", "VARCHAR", "VARCHAR"),
        ("DECIMAL(5,1)[]", "DOUBLE", "VARCHAR"), ("DATE", "TIMESTAMP", "VARCHAR"),
    ],
)  # fmt: skip
def test_a_column_s_type_holds_the_values_of_all_that_it_was(
    store: EmbeddedStore, first: str, then: str, kind: str
) -> None:
    store.declare_streams([("s", {"x": first})])
    store.declare_streams([("s", {"x": then, "y": "BIGINT"})])
    assert store.streams()["s"].columns == {"x": kind, "y": "BIGINT"}
    types = {name: found for name, found, *_ in store.query("DESCRIBE s").rows}
    assert (types["x"], types["y"]) == (kind, "BIGINT")


def test_a_copy_and_what_a_checkpoint_leaves_hold_all_that_was_committed(store: EmbeddedStore, tmp_path: Path) -> None:
    put(store, (0, 5, 1.0))
    store.copy_to(tmp_path / "copy.duckdb")
    store.checkpoint()
    put(store, (0, 6, 2.0))
    with EmbeddedStore(tmp_path / "copy.duckdb", read_only=True).open() as copy:
        assert (told(copy, 0), copy.position) == ([(5, 1.0)], 1)
    assert told(store, 0) == [(5, 1.0), (6, 2.0)]
    with pytest.raises(QueryError):
        store.query("SELECT * FROM stored.point")


def test_points_are_read_from_their_start_and_without_their_end_to_the_nanosecond(store: EmbeddedStore) -> None:
    put(store, *((0, time, float(time)) for time in range(10, 16)))
    assert [value for _, value in told(store, 0)] == [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]
    for start, end, times in ((11, 14, [11, 12, 13]), (10, 16, [10, 11, 12, 13, 14, 15]), (12, 12, []),
                              (None, 11, [10]), (15, None, [15]), (16, None, [])):  # fmt: skip
        found = store.points(0, start, end)
        assert (found.time.tolist(), found.total) == (times, len(times))
    assert store.points(0, max_points=6).total == len(store.points(0, max_points=6).time) == 6
    assert store.points(0, max_points=2).time.tolist() == [10, 15]
    assert [store.points(0, 11, 14, 2).time.tolist(), store.points(0, 11, 14, 2).total] == [[11, 13], 3]
    with pytest.raises(ValueError, match="max_points is 1: expected 2 or more"):
        store.points(0, max_points=1)


def test_the_last_points_of_series_are_those_asked_for(store: EmbeddedStore) -> None:
    put(store, *((0, time, float(time)) for time in range(5)), (2, 9, 1.0))
    assert {series: found.time.tolist() for series, found in store.sparklines(2).items()} == {0: [3, 4], 2: [9]}
    assert {series: found.total for series, found in store.sparklines(1, [0]).items()} == {0: 1}
    assert [(series, found.total) for series, found in store.history(9)] == [(0, 5), (2, 1)]
    assert (store.latest([2]).value.tolist(), len(store.latest([1])), store.sparklines(3, [1])) == ([1.0], 0, {})
    with pytest.raises(ValueError, match="the last 0 points were asked for: expected 1 or more"):
        store.sparklines(0)


def test_compaction_moves_as_many_points_as_there_are_and_none_where_there_are_too_few(store: EmbeddedStore) -> None:
    assert store.compact(1) == 0
    put(store, (0, 1, 1.0), (1, 1, 1.0), (0, 2, 1.0))
    assert store.compact(4) == 0
    assert store.compact(3) == 3
    assert store.compact(1) == 0, "sorted runs are merged where they hold sixteen times as many"
    put(store, *((0, 10 + number, 1.0) for number in range(13)))
    assert store.compact(1) == 13 + 16
    assert (store.points(0).total, store.points(1).total) == (15, 1)
    assert store.move_to_archive() == 0


def test_a_commit_counts_what_was_stored_late_the_same_again_and_in_conflict(store: EmbeddedStore) -> None:
    assert store.counts() == {}
    plain = rows((0, 5, 1.0), (0, 6, 2.0), (1, 5, 3.0))
    late = replace(plain, late=np.array([False, True, False]))
    first = store.commit(StepOutput(0, 1, late, NAMES, counts={"received": 3}))
    assert (first.stored, first.duplicates, first.late, first.conflicts) == (2, 0, 1, 0)
    again = store.commit(StepOutput(1, 2, rows((0, 5, 1.0), (0, 6, 9.0), (1, 7, 1.0)), counts={"received": 3}))
    assert (again.stored, again.duplicates, again.late, again.conflicts) == (2, 1, 0, 1)
    assert store.counts() == {"received": 6, "stored": 4, "duplicates": 1, "late": 1, "conflicts": 1}
    passed = store.commit(StepOutput(1, 2, plain))
    assert (passed.stored, passed.duplicates, passed.late) == (0, 0, 0)
    assert told(store, 0) == [(5, 1.0), (6, 2.0), (7, 9.0)]


@pytest.mark.parametrize("is_full", [True, False])
def test_a_store_is_full_at_its_most_bytes(tmp_path: Path, is_full: bool) -> None:
    with EmbeddedStore(tmp_path / "points.duckdb", StoreSettings()).open() as store:
        store.checkpoint()
    with EmbeddedStore(tmp_path / "points.duckdb", StoreSettings()).open() as store:
        store.settings = store.settings.model_copy(update={"max_bytes": store.size_bytes + (0 if is_full else 1)})
        if is_full:
            with pytest.raises(StorageFullError, match="no room left for storing results: it holds the"):
                put(store, (0, 5, 1.0))
        else:
            put(store, (0, 5, 1.0))
        assert store.points(0).total == (0 if is_full else 1)
