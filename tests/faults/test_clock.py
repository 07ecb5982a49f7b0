"""A host whose clock is 40 days ahead for one message: nothing true is removed, late, or left in the future."""

from __future__ import annotations

import json
from pathlib import Path

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry

SECOND = 10**9
DAY = 86_400 * SECOND
START = 1_800_000_000 * SECOND
JUMP = 40 * DAY


def engine(window: str) -> Engine:
    detectors = {"default": ComponentSettings(type="zscore", warmup=20)}
    return Engine((RouteSettings(filter="#", reorder_window=window),), detectors, AlarmSettings(), LimitSettings())


def run(store: EmbeddedStore, made: Engine, readings: list[tuple[int, bytes]]) -> None:
    """Each reading is (arrival, payload), and comes in a chunk of its own."""
    for offset, (arrival, payload) in enumerate(readings):
        chunk = MessageChunk.of([(b"pump", payload, arrival, 1)])
        store.commit(made.step(JournalEntry(made.position, offset, chunk)))


def undated(second: int) -> bytes:
    return b'{"v": %d}' % second


def dated(second: int) -> bytes:
    return json.dumps({"ts": START // SECOND + second, "v": second}).encode()


def test_one_message_40_days_ahead_neither_removes_nor_outdates_the_true_ones(tmp_path: Path) -> None:
    for kind in (undated, dated):
        with EmbeddedStore(tmp_path / f"{kind.__name__}.duckdb") as store:
            made = engine("0s")
            before = [(START + n * SECOND, kind(n)) for n in range(500)]
            wrong = [(START + 500 * SECOND + JUMP, undated(500))]
            after = [(START + n * SECOND, kind(n)) for n in range(501, 1_000)]
            run(store, made, before + wrong + after)
            now = START + 1_000 * SECOND
            assert store.apply_retention(now) == 0
            assert store.apply_retention(now + JUMP) == 0, "one reading of a wrong clock made the others old"
            counts = store.counts()
            assert (counts["stored"], counts["late"], counts["duplicates"]) == (1_000, 0, 0)
            assert store.points(0, START, now).total == 999
            assert not made.liveness.silent(now)[0]
            assert made.liveness.silent(now + 600 * SECOND)[0], "a device is heard from by the clock as it is now"


def test_readings_that_wait_for_earlier_ones_are_released_when_the_clock_goes_back(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        made = engine("30s")
        run(store, made, [(START + JUMP + n * SECOND, undated(n)) for n in range(5)])
        assert made.waiting == 5
        run(store, made, [(START + n * SECOND, undated(n)) for n in range(5, 50)])
        assert store.points(0, START, START + DAY).total == 50 - 5 - made.waiting
        assert store.points(0, START + JUMP).total == 5
        assert store.counts()["late"] == 0


def test_what_a_wrong_clock_dated_is_moved_to_where_it_belongs(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        made = engine("0s")
        right = [(START + n * SECOND, undated(n)) for n in range(20)]
        run(store, made, right + [(START + JUMP + n * SECOND, undated(n)) for n in range(10, 30)])
        assert store.move_times(START + DAY, START + 2 * JUMP, -JUMP, ["fan"]) == (0, 0)
        assert store.move_times(START + DAY, START + 2 * JUMP, -JUMP, ["pump"]) == (10, 10)
        assert store.points(0, START, START + DAY).value.tolist() == list(range(30))
        assert store.latest().time.tolist() == [START + JUMP + 19 * SECOND], "what could not move is still there"
    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        assert store.points(0, START, START + DAY).total == 30
