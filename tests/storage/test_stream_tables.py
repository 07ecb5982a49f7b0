"""What streams gave, in the database: typed tables, corrections in place, messages that wait, retention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from devices.batch import Batch, ScoredBatch
from storage.embedded.database import EmbeddedStore
from storage.embedded.sql_guard import QueryError
from storage.storage_settings import StoreSettings
from storage.store import StepOutput, StreamProgress, StreamResult

SECOND = 1_000_000_000
RESULT = StreamResult(
    stream="crowd",
    window_start=0,
    window_end=SECOND,
    key="",
    kind="final",
    revision=0,
    journal_offset=7,
    columns=(("users", "BIGINT"), ("mean", "DOUBLE"), ('odd "name"/~', "VARCHAR"), ("since", "TIMESTAMP_NS")),
    rows=[(3, 0.5, "a", "1970-01-01T00:00:00.250000Z"), (4, None, None, None)],
    topic="rollups/crowd",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "driftline.duckdb", StoreSettings(keep="1h")) as opened:
        yield opened


def put(store: EmbeddedStore, *results: StreamResult, **counts: int) -> None:
    progress = [StreamProgress("crowd", counts, 5 * SECOND)]
    nothing = ScoredBatch.unscored(Batch.empty(), late=False)
    store.commit(
        StepOutput(store.position, store.position + 1, nothing, stream_results=list(results), stream_progress=progress)
    )


def test_rows_stand_in_a_table_of_the_stream_s_name_with_types(store: EmbeddedStore) -> None:
    put(store, RESULT, taken=2)
    put(store, taken=1)
    found = store.query(
        'SELECT window_end, users + 1 AS n, mean, "odd ""name""/~" AS odd, epoch_ns(since), kind FROM crowd'
    )
    assert [row[1:] for row in found.rows] == [(4, 0.5, "a", SECOND // 4, "final"), (5, None, None, None, "final")]
    stored = store.streams()["crowd"]
    assert (stored.counts, stored.watermark, stored.problem) == ({"taken": 3}, 5 * SECOND, "")
    assert stored.columns["users"] == "BIGINT"


def test_a_column_that_turns_out_wider_keeps_all_values(store: EmbeddedStore) -> None:
    put(store, replace(RESULT, columns=(("n", "INTEGER"),), rows=[(1,)]))
    put(store, replace(RESULT, columns=(("n", "DOUBLE"),), rows=[(1.5,)], window_start=SECOND))
    assert store.query("SELECT n FROM crowd ORDER BY n").rows == [(1.0,), (1.5,)]
    put(store, replace(RESULT, columns=(("n", "VARCHAR"),), rows=[("x",)], window_start=2 * SECOND))
    assert sorted(store.query("SELECT n FROM crowd").rows) == [("1",), ("1.5",), ("x",)]


def test_a_correction_takes_the_place_of_the_result_before(store: EmbeddedStore) -> None:
    put(store, RESULT)
    put(store, replace(RESULT, kind="correction", revision=1, rows=[(9, 1.0, "b", None)]))
    assert store.query("SELECT users, revision, kind FROM crowd").rows == [(9, 1, "correction")]


def test_declared_streams_can_be_queried_before_their_first_row(store: EmbeddedStore) -> None:
    with pytest.raises(QueryError, match='"crowd" may not be read'):
        store.query("SELECT * FROM crowd")
    store.declare_streams([("crowd", {"users": "BIGINT", "os": '"NULL"'})])
    found = store.query("SELECT * FROM crowd")
    assert found.columns == [
        *("window_start", "window_end", "users", "os", "kind", "revision", "complete", "journal_offset", "id")
    ]
    assert found.rows == []


def test_rows_to_publish_wait_in_order_until_they_are_forgotten(store: EmbeddedStore) -> None:
    put(store, RESULT)
    first, second = store.waiting_messages(0)
    assert (first.topic, second.topic) == ("rollups/crowd", "rollups/crowd")
    assert orjson.loads(first.payload) == {
        "stream": "crowd",
        "window_start": "1970-01-01T00:00:00.000Z",
        "window_end": "1970-01-01T00:00:01.000Z",
        "users": 3,
        "mean": 0.5,
        'odd "name"/~': "a",
        "since": "1970-01-01T00:00:00.250000Z",
        "kind": "final",
        "revision": 0,
        "complete": True,
        "journal_offset": 7,
        "id": store.query("SELECT id FROM crowd WHERE users = 3").rows[0][0],
    }
    store.forget_messages(first.number)
    assert store.waiting_messages(0) == [second]
    assert store.waiting_messages(second.number) == []


def test_rows_are_kept_as_long_as_points(store: EmbeddedStore) -> None:
    hour = 3600 * SECOND
    put(store, RESULT, replace(RESULT, window_start=2 * hour, window_end=2 * hour + SECOND))
    store.apply_retention(now=10 * hour)
    assert store.query("SELECT count(*) FROM crowd WHERE window_end > TIMESTAMP '1970-01-01 01:00:00'").rows == [(2,)]
    assert store.query("SELECT count(*) FROM crowd").rows == [(2,)]


def test_streams_are_there_after_opening_again(store: EmbeddedStore) -> None:
    put(store, RESULT, rows=2)
    store.close()
    with EmbeddedStore(store.path, read_only=True) as again:
        assert again.query("SELECT sum(users)::INTEGER FROM crowd").rows == [(7,)]
        assert again.streams()["crowd"].counts == {"rows": 2}
