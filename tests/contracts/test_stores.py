from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, DeadLetter, SeriesRecord
from storage.base import CommitResult, StepOutput
from storage.embedded import EmbeddedStore

OpenStore = Callable[[], EmbeddedStore]


@pytest.fixture(params=["embedded"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    opened: list[EmbeddedStore] = []

    def reopen() -> EmbeddedStore:
        for store in opened:
            store.close()
        opened.append(EmbeddedStore(tmp_path / "store.duckdb").open())
        return opened[-1]

    yield reopen
    opened[-1].close()


def scored(series: list[int], time: list[int], value: list[float] | None = None) -> ScoredBatch:
    n = len(series)
    values = np.array(value if value is not None else np.arange(n) + 0.5, np.float64)
    return ScoredBatch(
        np.array(series, np.int32),
        np.array(time, np.int64),
        values,
        np.full(n, 1.5),
        values + 0.25,
        values - 1,
        values + 1,
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
    )


def step(position: int, points: ScoredBatch | None = None, **more: object) -> StepOutput:
    empty = ScoredBatch.unscored(Batch.empty(), late=False)
    return StepOutput(position, position + 1, points if points is not None else empty, **more)  # type: ignore[arg-type]


def test_what_was_written_is_read_back(open_store: OpenStore) -> None:
    points = scored([0, 1, 0], [10, 11, 12], [1.0, 2.0, 3.0])
    records = [SeriesRecord(0, "pump", "temperature", "°C"), SeriesRecord(1, "pump", "flow")]
    store = open_store()
    assert store.commit(step(0, points, series=records)) == CommitResult(3, 0, 0)
    for opened in (lambda: store, open_store):
        reader = opened()
        read = reader.points(0)
        assert read.time.tolist() == [10, 12]
        assert read.value.tolist() == [1.0, 3.0]
        assert read.score.tolist() == [1.5, 1.5]
        assert read.expected.tolist() == [1.25, 3.25]
        assert read.lower.tolist() == [0.0, 2.0]
        assert read.upper.tolist() == [2.0, 4.0]
        assert read.anomaly.tolist() == [False, False]
        assert read.total == 2
        assert reader.series() == records
        assert reader.position == 1


def test_points_without_score_read_back_without_score(open_store: OpenStore) -> None:
    batch = Batch(np.zeros(2, np.int32), np.array([1, 2], np.int64), np.array([4.0, 5.0]))
    store = open_store()
    store.commit(step(0, ScoredBatch.unscored(batch, late=False)))
    read = store.points(0)
    assert read.value.tolist() == [4.0, 5.0]
    for column in (read.score, read.expected, read.lower, read.upper):
        assert np.isnan(column).all()


def test_output_that_is_stored_already_is_ignored_whole(open_store: OpenStore) -> None:
    output = step(0, scored([0], [10]), counts={"received": 1})
    store = open_store()
    store.commit(output)
    for opened in (lambda: store, open_store):
        again = opened()
        assert again.commit(output) == CommitResult(0, 0, 0)
        assert again.counts() == {"received": 1, "stored": 1, "duplicates": 0, "late": 0}
        assert again.points(0).total == 1


def test_output_that_straddles_the_position_is_refused(open_store: OpenStore) -> None:
    store = open_store()
    store.commit(step(0))
    with pytest.raises(ValueError, match="output of journal positions 0 to 3 begins before the stored position 1"):
        store.commit(StepOutput(0, 3, scored([0], [1])))
    assert store.position == 1


def test_points_written_twice_change_nothing(open_store: OpenStore) -> None:
    store = open_store()
    store.commit(step(0, scored([0, 1], [10, 10], [1.0, 2.0])))
    assert store.commit(step(1, scored([1, 0], [10, 10], [7.0, 8.0]))) == CommitResult(0, 2, 0)
    store = open_store()
    assert store.commit(step(2, scored([0], [10], [9.0]))) == CommitResult(0, 1, 0)
    assert store.points(0).value.tolist() == [1.0]
    assert store.points(1).value.tolist() == [2.0]
    assert store.counts()["duplicates"] == 3


def test_the_first_of_equal_points_in_one_batch_stays(open_store: OpenStore) -> None:
    store = open_store()
    points = scored([0, 0, 0, 0], [10, 5, 10, 5], [1.0, 2.0, 3.0, 4.0])
    assert store.commit(step(0, points)) == CommitResult(1, 2, 1)
    assert store.points(0).value.tolist() == [2.0, 1.0]


def test_points_out_of_order_land_in_their_place_as_late(open_store: OpenStore) -> None:
    store = open_store()
    store.commit(step(0, scored([0, 0], [10, 30], [1.0, 3.0])))
    assert store.commit(step(1, scored([0, 0, 0], [20, 30, 40], [2.0, 9.0, 4.0]))) == CommitResult(1, 1, 1)
    assert open_store().points(0).time.tolist() == [10, 20, 30, 40]
    assert open_store().points(0).value.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_points_marked_late_count_as_late(open_store: OpenStore) -> None:
    store = open_store()
    batch = Batch(np.zeros(1, np.int32), np.array([7], np.int64), np.array([1.0]))
    assert store.commit(step(0, ScoredBatch.unscored(batch, late=True))) == CommitResult(0, 0, 1)


def test_counts_add_up_and_survive(open_store: OpenStore) -> None:
    store = open_store()
    store.commit(step(0, scored([0], [1]), counts={"received": 2, "rejected.malformed": 1}))
    store.commit(step(1, scored([0, 0], [2, 2]), counts={"received": 2}))
    expected = {"received": 4, "rejected.malformed": 1, "stored": 2, "duplicates": 1, "late": 0}
    assert store.counts() == expected
    assert open_store().counts() == expected


def test_dead_letters_read_back_newest_first_and_once(open_store: OpenStore) -> None:
    letters = [DeadLetter(i, 0, 100 + i, f"a/{i}", b"\x00\xff{", "malformed", "at byte 2: ...") for i in range(3)]
    store = open_store()
    store.commit(step(0, dead_letters=letters))
    store.commit(step(1, dead_letters=letters[:1]))
    assert open_store().dead_letters() == letters[::-1]
    assert open_store().dead_letters(limit=1) == letters[2:]


def test_the_newest_record_of_an_alarm_is_the_alarm(open_store: OpenStore) -> None:
    opened = AlarmRecord(1, 0, AlarmState.OPEN, 50, None, "warning", 3.5, 9.0, 4.0, "too high", {"zscore": 3.5})
    cleared = AlarmRecord(1, 0, AlarmState.CLEARED, 50, 80, "critical", 6.5, 9.0, 4.0, "too high", {"zscore": 3.5})
    other = AlarmRecord(2, 1, AlarmState.OPEN, 60, None, "warning", 3.0, 1.0, 2.0, "too low")
    store = open_store()
    store.commit(step(0, alarms=[opened, other]))
    assert store.alarms() == [other, opened]
    store.commit(step(1, alarms=[opened, cleared]))
    store = open_store()
    assert store.alarms() == [other, cleared]
    assert store.alarms(open_only=True) == [other]
    assert store.alarms(state=AlarmState.CLEARED) == [cleared]
    assert store.alarms(series=1) == [other]
    assert store.alarms(limit=1) == [other]
