from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from letters import letter
from stored_points import NOW, SECOND, one_sided, put, regular, scored

from common.storage_errors import StorageFullError
from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from storage.embedded.database import EmbeddedStore
from storage.embedded.sql_guard import QueryError
from storage.storage_settings import StoreSettings
from storage.store import StepOutput

DAY = 86_400 * SECOND
EMPTY = ScoredBatch.unscored(Batch.empty(), late=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "store.duckdb", StoreSettings(query_timeout="2s")) as opened:
        yield opened


Row = tuple[int, int, float]
rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.floats(-10, 10)), max_size=12)


@settings(max_examples=25, deadline=None)
@example([[(0, 0, 0.0), (0, 0, 1.0), (0, 0, 2.0)], [(0, 1, 3.0)]])
@given(st.lists(rows | st.sampled_from(["compact", "reopen"]), max_size=8))
def test_every_value_stays_at_its_time_or_right_after_it_and_the_counts_close(steps: list[list[Row] | str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder) / "store.duckdb").open()
        given: set[tuple[int, int, float]] = set()
        given_rows = 0
        for step in steps:
            if step == "reopen":
                store.close()
                store.open()
            elif step == "compact":
                store.compact(at_least=1)
            else:
                assert isinstance(step, list)
                columns = [np.array([row[i] for row in step]) for i in range(3)]
                result_points = scored(*columns) if step else EMPTY
                output = StepOutput(store.position, store.position + 1, result_points)
                result = store.commit(output)
                assert result.stored + result.late + result.duplicates == len(step)
                given_rows += len(step)
                given.update((series, time, value) for series, time, value in step)
        kept = 0
        for series in range(4):
            read = store.points(series)
            times = read.time.tolist()
            assert times == sorted(set(times))
            there = list(zip(times, read.value.tolist(), strict=True))
            for owner, time, value in given:
                if owner == series:
                    assert any(time <= at <= time + given_rows and value == found for at, found in there)
            kept += len(there)
        counts = store.counts()
        assert counts.get("stored", 0) + counts.get("late", 0) == kept
        assert kept + counts.get("duplicates", 0) == given_rows
        store.close()


def test_a_long_series_is_thinned_to_its_extremes_and_anomalies(store: EmbeddedStore) -> None:
    whole = regular(0, 20_000, anomalies=(7, 9_000, 19_999))
    put(store, whole)
    put(store, regular(1, 100))
    thinned = store.points(0, max_points=500)
    assert thinned.total == 20_000
    assert len(thinned.time) <= 503
    assert set(whole.time[whole.anomaly]) <= set(thinned.time)
    assert np.all(np.diff(thinned.time) > 0)
    stretch = (whole.time[-1] - whole.time[0]) // 250 + 1
    for values in (np.minimum, np.maximum):
        for number in range(250):
            of_whole = whole.value[(whole.time - NOW) // stretch == number]
            of_thinned = thinned.value[(thinned.time - NOW) // stretch == number]
            assert values.reduce(of_whole) == values.reduce(of_thinned)


def test_points_are_read_from_start_up_to_end(store: EmbeddedStore) -> None:
    put(store, regular(0, 100))
    store.compact(at_least=1)
    put(store, regular(0, 100, start=NOW + 100 * SECOND))
    read = store.points(0, NOW + 50 * SECOND, NOW + 150 * SECOND)
    assert read.time.tolist() == [NOW + i * SECOND for i in range(50, 150)]
    assert store.points(5).total == 0
    assert store.points(5, max_points=10).total == 0
    with pytest.raises(ValueError, match="max_points is 1"):
        store.points(0, max_points=1)


def test_score_and_band_keep_the_precision_that_a_chart_needs(store: EmbeddedStore) -> None:
    random = np.random.default_rng(2)
    n = 500
    expected = random.normal(size=n) * 10.0 ** random.integers(-6, 6, n)
    width = 10.0 ** random.uniform(-6, 6, n)
    none = random.random(n) < 0.2
    points = ScoredBatch(
        np.zeros(n, np.int32),
        np.arange(n),
        expected,
        random.exponential(size=n),
        np.where(none, np.nan, expected),
        expected - width,
        expected + 2 * width,
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
    )
    put(store, points)
    read = store.points(0)
    assert read.value.tolist() == points.value.tolist()
    assert np.abs(read.score - points.score).max() <= 0.005001
    step = 3 * width / 100 + np.abs(expected) * 1e-6
    assert np.array_equal(np.isnan(read.expected), none)
    assert (np.abs(read.expected - points.expected)[~none] <= step[~none]).all()
    assert (np.abs(read.lower - points.lower) <= 2 * step).all()
    assert (np.abs(read.upper - points.upper) <= 2 * step).all()


def test_latest_sparklines_and_history_give_the_newest_points(store: EmbeddedStore) -> None:
    put(store, ScoredBatch.concatenate([regular(0, 50), regular(2, 5, start=NOW - DAY)]))
    store.compact(at_least=1)
    put(store, ScoredBatch.concatenate([regular(0, 3, start=NOW + 50 * SECOND), regular(3, 1)]))
    latest = store.latest()
    assert latest.series.tolist() == [0, 2, 3]
    assert latest.time.tolist() == [NOW + 52 * SECOND, NOW - DAY + 4 * SECOND, NOW]
    assert store.latest([3, 1]).series.tolist() == [3]
    assert len(store.latest([1])) == 0
    lines = store.sparklines(4)
    assert {series: len(line.value) for series, line in lines.items()} == {0: 4, 2: 4, 3: 1}
    assert lines[0].value.tolist() == store.points(0).value[-4:].tolist()
    assert list(store.sparklines(4, [2])) == [2]
    histories = dict(store.history(10))
    assert list(histories) == [0, 2, 3]
    assert histories[0].time.tolist() == store.points(0).time[-10:].tolist()
    assert histories[2].time.tolist() == store.points(2).time.tolist()


def test_history_reads_many_series(store: EmbeddedStore) -> None:
    n = 1000
    series = np.repeat(np.arange(n), 3)
    put(store, scored(series, NOW + np.tile(np.arange(3), n), series * 1.0))
    histories = list(store.history(2))
    assert [number for number, _ in histories] == list(range(n))
    assert all(points.value.tolist() == [number] * 2 for number, points in histories)


def test_retention_counts_back_from_each_series_own_newest_point(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "store.duckdb", StoreSettings(keep="10s", max_dead_letters=3)) as store:
        assert store.apply_retention(NOW) == 0
        replayed = regular(0, 5, start=NOW - 3000 * DAY)
        letters = [letter(i, NOW + i, "t", b"x", "malformed", "why") for i in range(5)]
        put(store, ScoredBatch.concatenate([replayed, regular(1, 30)]), dead_letters=letters)
        store.compact(at_least=1)
        put(store, regular(1, 10, start=NOW + 30 * SECOND))
        assert store.apply_retention(NOW + 40 * SECOND) == 20
        assert store.points(0).total == 5
        assert store.points(1).time[0] == NOW + 20 * SECOND
        assert [letter.offset for letter in store.dead_letters()] == [4, 3, 2]
        assert store.apply_retention(NOW + 40 * SECOND) == 0


def test_old_dead_letters_go(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "store.duckdb", StoreSettings(keep_dead_letters="1h")) as store:
        letters = [letter(i, NOW + i * 1800 * SECOND, "t", b"x", "malformed", "why") for i in range(5)]
        put(store, EMPTY, dead_letters=letters)
        store.apply_retention(NOW + 4 * 1800 * SECOND)
        assert [letter.offset for letter in store.dead_letters()] == [4, 3, 2]


def test_points_stay_the_same_over_compaction_and_merges(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with EmbeddedStore(path, StoreSettings(compact_rows=100)) as store:
        moved = 0
        for i in range(40):
            put(store, ScoredBatch.concatenate([regular(s, 20, start=NOW + i * 20 * SECOND) for s in range(5)]))
            moved += store.compact()
        assert moved > 4000
    with EmbeddedStore(path) as store:
        for series in range(5):
            read = store.points(series)
            assert read.time.tolist() == [NOW + i * SECOND for i in range(800)]
            assert read.value.tolist() == np.tile(regular(series, 20).value, 40).tolist()
        assert store.commit(StepOutput(40, 41, regular(1, 20))).duplicates == 20


def test_commits_and_queries_go_on_during_maintenance(store: EmbeddedStore) -> None:
    errors: list[BaseException] = []
    done = threading.Event()

    def maintain() -> None:
        try:
            while not done.is_set():
                store.compact(at_least=1)
                store.apply_retention(NOW)
                store.points(0)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=maintain)
    thread.start()
    for i in range(60):
        put(store, regular(0, 50, start=NOW + i * 50 * SECOND))
        put(store, regular(0, 50, start=NOW + i * 50 * SECOND))
    done.set()
    thread.join()
    assert errors == []
    assert store.points(0).total == 3000
    assert store.counts() == {"stored": 3000, "duplicates": 3000, "late": 0}


def test_views_show_devices_points_alarms_and_counts(store: EmbeddedStore) -> None:
    records = [SeriesRecord(0, "pump", "flow"), SeriesRecord(1, "pump", "temperature"), SeriesRecord(2, "fan", "speed")]
    alarm = AlarmRecord(1, 0, AlarmState.OPEN, NOW, None, "warning", 3.0, 1.0, float("nan"), "odd")
    points = ScoredBatch.concatenate([regular(0, 10), regular(1, 5)])
    put(store, points, series=records, alarms=[alarm], counts={"received": 9})
    devices = store.query("SELECT device, metrics, points, open_alarms, last_seen FROM devices ORDER BY device")
    assert devices.rows[0][:4] == ("fan", ["speed"], 0, 0)
    assert devices.rows[1][:4] == ("pump", ["flow", "temperature"], 15, 1)
    assert str(devices.rows[1][4]) == "2023-11-14 22:13:29"
    result = store.query("FROM points WHERE device = 'pump' AND metric = 'flow' AND time >= '2023-11-14 22:13:25'")
    assert result.columns[:4] == ["device", "metric", "time", "value"]
    assert len(result.rows) == 5
    assert store.query("SELECT device, state, expected FROM alarms").rows == [("pump", "open", None)]
    assert ("received", 9) in store.query("SELECT * FROM counts").rows
    assert store.query("SELECT count(*) FROM dead_letters").rows == [(0,)]
    assert len(store.query("FROM series").rows) == 3


def test_a_query_returns_no_more_than_asked_for(store: EmbeddedStore) -> None:
    result = store.query("SELECT * FROM range(10)", limit=4)
    assert (result.rows, result.truncated) == ([(0,), (1,), (2,), (3,)], True)
    assert store.query("SELECT * FROM range(4)", limit=4).truncated is False
    for sql in ("WITH x AS (SELECT 1 AS a) SELECT a FROM x", "DESCRIBE points", "SHOW TABLES", "SUMMARIZE alarms"):
        assert store.query(sql).rows


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("DELETE FROM stored.point_recent", "only a SELECT may run"),
        ("CREATE TABLE t(a INT)", "only a SELECT may run"),
        ("ATTACH 'other.db'", "only a SELECT may run"),
        ("COPY (SELECT 1) TO 'x.csv'", "only a SELECT may run"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'", "only a SELECT may run"),
        ("SET threads = 1", "only a SELECT may run"),
        ("INSTALL httpfs", "only a SELECT may run"),
        ("PRAGMA database_size", "only a SELECT may run"),
        ("CALL pragma_version()", "only a SELECT may run"),
        ("CHECKPOINT", "only a SELECT may run"),
        ("SELECT 1; DROP VIEW points", "only a SELECT may run"),
        ("SELECT 1; SELECT 2", "2 statements were given"),
        ("", "0 statements were given"),
        ("EXPLAIN ANALYZE DELETE FROM stored.series", "only a SELECT may run"),
        ("SELECT * FROM read_csv('/etc/passwd')", '"read_csv" may not be read from'),
        ("SELECT * FROM '/etc/passwd'", '"/etc/passwd" may not be read'),
        ("SELECT * FROM stored.point_recent", '"stored.point_recent" may not be read: expected one of points, alarms'),
        ("SELECT * FROM duckdb_settings()", '"duckdb_settings" may not be read from'),
        ("FROM query('SELECT 1')", '"query" may not be read from'),
        ("SELECT 1 WHERE EXISTS (SELECT * FROM information_schema.tables)", '"information_schema.tables" may not'),
        ("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT * FROM t", "may never end"),
        ("SELECT repeat('x', 1000000) FROM range(10000)", 'the function "repeat" may not be used'),
        ("SELECT current_setting('memory_limit')", 'the function "current_setting" may not be used'),
        ("SELECT valu FROM points", "valu"),
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM sql", '"sql" may not be read'),
        ("SELECT count(*) FROM range(1000000000000) t(a) WHERE a % 7 = 3", "stopped after 2s"),
    ],
)
def test_a_query_only_reads_and_says_in_one_line_what_is_wrong(store: EmbeddedStore, sql: str, word: str) -> None:
    put(store, regular(0, 3), series=[SeriesRecord(0, "pump", "flow")])
    with pytest.raises(QueryError) as caught:
        store.query(sql)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.points(0).total == 3
    assert len(store.series()) == 1


def test_a_full_store_refuses_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    small = StoreSettings(max_bytes=8 << 20)
    with EmbeddedStore(path, small) as store:
        with pytest.raises(StorageFullError, match=r"store\.duckdb: no room left"):
            for i in range(1000):
                put(store, regular(0, 10_000, start=NOW + i * 10_000 * SECOND))
        committed = store.position
        assert store.points(0).total == committed * 10_000
        assert store.counts()["stored"] == committed * 10_000
    with EmbeddedStore(path, StoreSettings()) as store:
        assert store.position == committed
        put(store, regular(0, 10_000, start=NOW + committed * 10_000 * SECOND))
        assert store.points(0).total == (committed + 1) * 10_000
        assert store.counts()["duplicates"] == 0


def test_a_commit_that_fails_leaves_nothing_behind(store: EmbeddedStore) -> None:
    put(store, regular(0, 5))
    broken = SeriesRecord(1, "pump", None)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="NOT NULL"):
        put(store, regular(0, 9), series=[broken])
    assert store.position == 1
    assert store.points(0).total == 5
    result = store.commit(StepOutput(1, 2, regular(0, 9)))
    assert (result.stored, result.duplicates, result.late) == (4, 5, 0)


def test_series_below_zero_are_refused(store: EmbeddedStore) -> None:
    with pytest.raises(ValueError, match="series -1 in a batch of points"):
        put(store, regular(-1, 3))


def test_a_query_that_takes_too_much_memory_is_refused_with_the_setting_to_raise(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "store.duckdb", StoreSettings(memory_bytes=64 << 20)) as store:
        with pytest.raises(QueryError, match=r"Out of Memory Error.*or raise store\.memory_bytes"):
            store.query("SELECT len(list(sha256(i::VARCHAR))) FROM range(3_000_000) t(i)")
        assert store.query("SELECT 1").rows == [(1,)]


def test_bands_that_are_one_sided_or_absent_come_back_so(store: EmbeddedStore) -> None:
    points = one_sided(8)
    put(store, points)
    for _ in range(2):
        read = store.points(0)
        np.testing.assert_array_equal(read.lower, points.lower)
        np.testing.assert_array_equal(read.upper, points.upper)
        store.compact(1)
