from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.storage_errors import StorageCorruptError
from devices.batch import ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from storage.external.outputs import decode_output, encode_output
from storage.external.spool import RefusedLine, SinkLag, Spool, refused_lines
from storage.store import DevicePresence, StepOutput, StreamResult

ROLLUP = StreamResult(
    "rollup", 0, 10**9, '["A"]', "final", 0, 17, (("site", "VARCHAR"), ("n", "BIGINT")), [("A", 3)], sinks=("influx",)
)
floats = st.floats(allow_subnormal=False)


def output(position: int, n: int = 3, values: list[float] | None = None) -> StepOutput:
    value = np.array(values if values is not None else np.arange(n) + position * 1.0, np.float64)
    n = len(value)
    flags = np.arange(n) % 2 == 0
    points = ScoredBatch(
        np.arange(n, dtype=np.int32), np.arange(n) + position, value, value, value, value, value, flags, ~flags
    )
    return StepOutput(
        position,
        position + 1,
        points,
        [SeriesRecord(0, "pump", "flow", "m³/h")],
        [],
        [AlarmRecord(1, 0, AlarmState.OPEN, 4, None, "warning", 3.5, 1.0, float("inf"), "odd", {"zscore": 1.0})],
        {"received": n},
        [DevicePresence("pump", 4, True, 1)],
        stream_results=[ROLLUP],
    )


def assert_same(left: StepOutput, right: StepOutput) -> None:
    for field in fields(ScoredBatch):
        a, b = getattr(left.points, field.name), getattr(right.points, field.name)
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
    for name in ("position", "next_position", "series", "alarms", "counts", "devices", "stream_results"):
        assert getattr(left, name) == getattr(right, name)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool.db", ["influx", "victoria"]) as opened:
        yield opened


@given(st.lists(st.floats()), st.integers(0, 2**62))
def test_outputs_survive_as_bytes(values: list[float], position: int) -> None:
    whole = output(position, values=values)
    assert_same(decode_output(encode_output(whole)), whole)


def test_results_of_streams_that_go_to_no_sink_or_are_early_are_left_out() -> None:
    results = [ROLLUP, replace(ROLLUP, sinks=()), replace(ROLLUP, kind="early"), replace(ROLLUP, kind="correction")]
    kept = decode_output(encode_output(replace(output(0), stream_results=results))).stream_results
    assert [(each.kind, each.rows) for each in kept] == [("final", [("A", 3)]), ("correction", [("A", 3)])]


def test_other_bytes_are_refused() -> None:
    for data in (b"", b"hello", encode_output(output(0))[:100]):
        with pytest.raises(ValueError, match="are not a stored output"):
            decode_output(data)


def test_each_sink_reads_on_from_its_own_cursor(spool: Spool) -> None:
    for position in range(4):
        assert spool.append(output(position))
    ids = [entry for entry, _ in spool.read("influx")]
    spool.advance("influx", ids[2], written=9)
    assert [out.position for _, out in spool.read("influx")] == [3]
    assert [out.position for _, out in spool.read("victoria")] == [0, 1, 2, 3]
    spool.close()
    spool.open()
    assert [out.position for _, out in spool.read("influx")] == [3]
    assert spool.lag("influx") == SinkLag(1, 3, 9, 0, 0)
    assert spool.lag("victoria") == SinkLag(4, 12, 0, 0, 0)
    for (_, read), position in zip(spool.read("victoria"), range(4), strict=True):
        assert_same(read, output(position))


def test_output_that_is_in_already_is_ignored(spool: Spool) -> None:
    assert spool.append(output(0))
    assert not spool.append(output(0))
    for entry, _ in spool.read("influx"):
        spool.advance("influx", entry)
        spool.advance("victoria", entry)
    spool.close()
    spool.open()
    assert not spool.append(output(0))
    assert spool.position == 1
    assert list(spool.read("influx")) == []


def test_what_every_sink_holds_is_removed(spool: Spool) -> None:
    for position in range(300):
        spool.append(output(position, n=200))
        [(entry, _)] = spool.read("influx")
        spool.advance("influx", entry)
        spool.advance("victoria", entry)
    assert spool.path.stat().st_size < 1_000_000


def test_a_full_spool_drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db", ["fast", "slow"], max_bytes=20_000) as spool:
        for position in range(20):
            spool.append(output(position, n=100))
            [(entry, _)] = spool.read("fast")
            spool.advance("fast", entry)
        kept = [out.position for _, out in spool.read("slow")]
        assert kept == list(range(kept[0], 20))
        assert 0 < kept[0] < 19
        assert spool.lag("slow") == SinkLag(len(kept), 100 * len(kept), 0, 0, 100 * kept[0])
        assert spool.lag("fast") == SinkLag(0, 0, 0, 0, 0)


def test_what_a_sink_has_just_taken_is_not_counted_as_dropped_for_it(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db", ["taken", "waiting"], max_bytes=20_000) as spool:
        spool.append(output(0, n=100))
        [(first, _)] = spool.read("taken")
        spool.advance("taken", first)
        position = 1
        while not spool.lag("waiting").dropped:
            spool.append(output(position, n=100))
            position += 1
        assert spool.lag("waiting").dropped == 100
        assert spool.lag("taken").dropped == 0


def test_new_sinks_begin_with_the_next_output_and_old_ones_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with Spool(path, ["old"]) as spool:
        spool.append(output(0))
    with Spool(path, ["new"]) as spool:
        spool.append(output(1))
        assert [out.position for _, out in spool.read("new")] == [1]
        with pytest.raises(ValueError, match="no sink 'old': expected one of new"):
            spool.lag("old")
    with pytest.raises(ValueError, match="'a' is named twice"):
        Spool(path, ["a", "a"])


def test_a_damaged_entry_is_named(spool: Spool) -> None:
    spool.append(output(0))
    with sqlite3.connect(spool.path) as raw:
        raw.execute("UPDATE entry SET data = zeroblob(length(data))")
    raw.close()
    with pytest.raises(StorageCorruptError, match=r"spool\.db: entry 1 is damaged"):
        list(spool.read("influx"))


def test_refused_lines_are_counted_and_the_newest_kept(spool: Spool) -> None:
    spool.append(output(0))
    [(entry, _)] = spool.read("influx")
    spool.advance("influx", entry, [RefusedLine("influx", f"line {i}", "no") for i in range(10_005)], written=3)
    spool.close()
    spool.open()
    assert spool.lag("influx") == SinkLag(0, 0, 3, 10_005, 0)
    assert spool.lag("victoria").refused == 0
    kept = refused_lines(spool.path, 20_000)
    assert len(kept) == 10_000
    assert kept[0] == RefusedLine("influx", "line 10004", "no")


def test_device_states_stand_beside_the_journal(spool: Spool) -> None:
    spool.append(output(0))
    spool.note([DevicePresence("pump", 5, False, 0)])
    assert spool.position == 1
    assert spool.append(output(1))
    assert [len(out.devices) for _, out in spool.read("influx")] == [1, 1, 1]


def test_output_that_straddles_the_position_is_refused(spool: Spool) -> None:
    spool.append(output(0))
    whole = replace(output(0), next_position=3)
    with pytest.raises(ValueError, match="journal positions 0 to 3 begins before the spool's position 1"):
        spool.append(whole)


def test_settling_follows_the_database_and_the_journal(spool: Spool) -> None:
    assert spool.align(5, 9) is None
    assert spool.position == 5
    assert not spool.append(output(4))
    assert spool.append(output(5))
    assert spool.align(5, 9) is None, "ahead of the database after a kill, and within the journal"
    assert spool.position == 6
    word = spool.align(8, 9)
    assert word is not None
    assert "get nothing of journal positions 6 to 8" in word
    word = spool.align(1, 2)
    assert word is not None
    assert "the journal ends at 2: what is scored from 1 on goes to them again" in word
    assert spool.position == 1


def test_without_sinks_nothing_waits(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db", ["old"]) as spool:
        spool.append(output(0))
    with Spool(tmp_path / "spool.db", []) as spool, sqlite3.connect(spool.path) as raw:
        assert raw.execute("SELECT count(*) FROM entry").fetchone() == (0,)
    raw.close()
