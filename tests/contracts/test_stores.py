from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from influxd import Influxd
from influxdb_client import InfluxDBClient
from letters import letter
from victoria import Victoria

from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord, SeverityRise
from storage.embedded.database import EmbeddedStore
from storage.external.influx import InfluxSink
from storage.external.influx_reader import FluxReader, InfluxQlReader
from storage.external.reader_parts import ExternalReader, thinned
from storage.external.victoria import VictoriaReader
from storage.storage_settings import SinkSettings
from storage.store import CommitResult, SeriesPoints, StepOutput

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
    for is_anew in (False, True):
        reader = open_store() if is_anew else store
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
    for is_anew in (False, True):
        again = open_store() if is_anew else store
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
    assert store.commit(step(1, scored([1, 0], [10, 10], [2.0, 1.0]))) == CommitResult(0, 2, 0)
    store = open_store()
    assert store.commit(step(2, scored([0], [10], [1.0]))) == CommitResult(0, 1, 0)
    assert store.points(0).value.tolist() == [1.0]
    assert store.points(1).value.tolist() == [2.0]
    assert store.counts()["duplicates"] == 3


def test_of_points_at_one_time_equal_ones_are_duplicates_and_others_are_kept(open_store: OpenStore) -> None:
    store = open_store()
    points = scored([0, 0, 0, 0], [10, 5, 10, 5], [1.0, 2.0, 3.0, 2.0])
    assert store.commit(step(0, points)) == CommitResult(3, 1, 0, 1)
    assert store.points(0).value.tolist() == [2.0, 1.0, 3.0]
    assert store.points(0).time.tolist() == [5, 10, 11]
    assert store.commit(step(1, points)) == CommitResult(0, 4, 0)


def test_points_out_of_order_land_in_their_place(open_store: OpenStore) -> None:
    store = open_store()
    store.commit(step(0, scored([0, 0], [10, 30], [1.0, 3.0])))
    assert store.commit(step(1, scored([0, 0, 0], [20, 30, 40], [2.0, 3.0, 4.0]))) == CommitResult(2, 1, 0)
    assert open_store().points(0).time.tolist() == [10, 20, 30, 40]
    assert open_store().points(0).value.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_points_marked_late_count_as_late(open_store: OpenStore) -> None:
    store = open_store()
    batch = Batch(np.zeros(1, np.int32), np.array([7], np.int64), np.array([1.0]))
    assert store.commit(step(0, ScoredBatch.unscored(batch, late=True))) == CommitResult(0, 0, 1)


def test_counts_add_up_and_survive(open_store: OpenStore) -> None:
    store = open_store()
    store.commit(step(0, scored([0], [1]), counts={"received": 2, "rejected.malformed": 1}))
    store.commit(step(1, scored([0, 0], [2, 2], [5.0, 5.0]), counts={"received": 2}))
    expected = {"received": 4, "rejected.malformed": 1, "stored": 2, "duplicates": 1, "late": 0}
    assert store.counts() == expected
    assert open_store().counts() == expected


def test_dead_letters_read_back_newest_first_and_once(open_store: OpenStore) -> None:
    letters = [letter(i, 100 + i, f"a/{i}", b"\x00\xff{", "malformed", "at byte 2: ...") for i in range(3)]
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


MS = 10**6


@dataclass
class External:
    """An external database, its reader, and what makes writes visible to it."""

    sink: InfluxSink
    reader: Callable[[], ExternalReader]
    settle: Callable[[], object]
    keeps_texts: bool


READERS = {"flux": FluxReader, "influxql": InfluxQlReader}


@pytest.fixture(
    params=[
        pytest.param("victoriametrics", marks=pytest.mark.service("victoria-metrics")),
        "InfluxDB flux",
        "InfluxDB influxql",
        pytest.param("influxd flux", marks=pytest.mark.optional_service("influxd")),
        pytest.param("influxd influxql", marks=pytest.mark.optional_service("influxd")),
    ]
)
def external(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: int, wait_until: Callable[..., None]
) -> Iterator[External]:
    if request.param == "victoriametrics":
        with Victoria(tmp_path / "vm", free_port, wait_until) as server:
            settings = SinkSettings(name="s", type="victoriametrics", url=server.url)
            with InfluxSink(settings) as sink:
                reader = lambda: VictoriaReader(settings, known=NAMES)  # noqa: E731
                yield External(sink, reader, lambda: server.get("/internal/force_flush"), False)
        return
    where, language = request.param.split()
    with influxd(tmp_path, wait_until) if where == "influxd" else named_influxdb() as (settings, token):
        kind = READERS[language]
        with InfluxSink(settings, token=token) as sink:
            yield External(sink, lambda: kind(settings, known=NAMES, token=token), lambda: None, True)


@contextmanager
def influxd(folder: Path, wait_until: Callable[..., None]) -> Iterator[tuple[SinkSettings, str]]:
    """A server of the 1.x line that is on the PATH, with a retention policy of its own."""
    with Influxd(folder / "influxd", wait_until) as server:
        server.statement('CREATE DATABASE "plant one" WITH DURATION INF NAME "long"')
        yield SinkSettings(name="s", url=server.url, org="-", bucket="plant one/long"), "user:password"


@contextmanager
def named_influxdb() -> Iterator[tuple[SinkSettings, str]]:
    """The server that the environment names, with a bucket of its own."""
    missing = [name for name in ("URL", "TOKEN", "ORG") if not os.environ.get(f"DRIFTLINE_INFLUX_{name}")]
    if missing:
        names = ", ".join(f"DRIFTLINE_INFLUX_{name}" for name in missing)
        pytest.skip(f"no InfluxDB to test against: {names} not set")
    url, token, org = (os.environ[f"DRIFTLINE_INFLUX_{name}"] for name in ("URL", "TOKEN", "ORG"))
    bucket = f"driftline-test-{os.getpid()}-{time.time_ns()}"
    with InfluxDBClient(url, token=token, org=org) as client:
        made = client.buckets_api().create_bucket(bucket_name=bucket, org=org)
        try:
            yield SinkSettings(name="s", url=url, org=org, bucket=bucket), token
        finally:
            client.buckets_api().delete_bucket(made)


NAMES = [SeriesRecord(0, "pump 1,a", "temp=x", "°C"), SeriesRecord(1, 'fan\\"', "speed"), SeriesRecord(2, "a/b", "v")]


def recent(n: int, *, step: int = 1000 * MS, every: int = 3, seed: int = 1) -> ScoredBatch:
    """Points of up to three series in whole milliseconds, ending an hour ago, some without score or band."""
    chance = np.random.default_rng(seed)
    start = (time.time_ns() // (3600 * 10**9) - 1) * 3600 * 10**9 - n * step
    value = np.round(chance.normal(20, 5, n), 3)
    nan = np.where(np.arange(n) % 5 == 4, np.nan, 0.0)
    return ScoredBatch(
        (np.arange(n) % every).astype(np.int32),
        start + np.arange(n) // every * every * step,
        value,
        np.round(np.abs(chance.normal(1, 1, n)), 2).astype(np.float64) + nan,
        value + 0.25 + nan,
        value - 1.5 + nan,
        value + 1.75 + nan,
        np.arange(n) % 50 == 49,
        np.zeros(n, np.bool_),
    )


def assert_points_agree(found: SeriesPoints, oracle: SeriesPoints) -> None:
    assert found.total == oracle.total
    assert found.time.tolist() == oracle.time.tolist()
    assert found.value.tolist() == oracle.value.tolist()
    assert found.anomaly.tolist() == oracle.anomaly.tolist()
    for name in ("score", "expected", "lower", "upper"):
        np.testing.assert_allclose(getattr(found, name), getattr(oracle, name), atol=0.06, err_msg=name)


def write_both(store: EmbeddedStore, external: External, outputs: list[StepOutput]) -> None:
    for output in outputs:
        store.commit(output, external.sink.write)
    external.settle()


def eventually_agree(check: Callable[[], None]) -> None:
    """Databases show what they confirmed a moment later."""
    deadline = time.monotonic() + 240
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture
def oracle(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "oracle.duckdb") as store:
        yield store


def test_an_external_database_gives_back_what_the_embedded_one_does(oracle: EmbeddedStore, external: External) -> None:
    points = recent(900)
    write_both(oracle, external, [step(0, points, series=NAMES)])
    start, end = int(points.time[300]), int(points.time[600])

    def check() -> None:
        reader = external.reader()
        assert reader.series() == oracle.series()
        for series in range(3):
            assert_points_agree(reader.points(series), oracle.points(series))
            assert_points_agree(reader.points(series, start, end), oracle.points(series, start, end))
            assert_points_agree(reader.points(series, None, end, 20), oracle.points(series, None, end, 20))
        found, expected = reader.latest(), oracle.latest()
        for field in fields(ScoredBatch):
            np.testing.assert_allclose(getattr(found, field.name), getattr(expected, field.name), atol=0.06)
        assert reader.latest([1]).series.tolist() == [1]
        for (number, mine), (series, theirs) in zip(reader.history(7), oracle.history(7), strict=True):
            assert number == series
            assert mine.time.tolist() == theirs.time.tolist()
        last, own = reader.last_of(NAMES[1].device, NAMES[1].metric, 40, end), oracle.points(1, None, end)
        assert last.time.tolist() == own.time[-40:].tolist()
        np.testing.assert_allclose(last.expected, own.expected[-40:], atol=0.06)
        assert reader.last_of("nobody", "x", 3).total == 0

    eventually_agree(check)


def test_writing_again_and_out_of_order_changes_nothing(oracle: EmbeddedStore, external: External) -> None:
    points = recent(300)
    early, late = points.take(np.arange(300) < 150), points.take(np.arange(300) >= 150)
    outputs = [step(0, late, series=NAMES), step(1, early), step(2, late), step(3, early)]
    write_both(oracle, external, outputs)
    for again in (outputs[0], outputs[1]):
        external.sink.write(again)
    external.settle()

    def check() -> None:
        for series in range(3):
            assert_points_agree(external.reader().points(series), oracle.points(series))

    eventually_agree(check)


def test_alarms_come_back_from_their_events(oracle: EmbeddedStore, external: External) -> None:
    now = time.time_ns() // (1000 * MS) * 1000 * MS - 3600 * 10**9
    opened = AlarmRecord(1, 0, AlarmState.OPEN, now, None, "minor", 3.5, 9.0, 4.0, "too high", {"default.z": 3.5})
    cleared = replace(opened, state=AlarmState.CLEARED, cleared=now + 80 * MS, severity="minor", peak_score=6.5)
    other = AlarmRecord(2, 1, AlarmState.ACKNOWLEDGED, now + 50 * MS, None, "major", 3.0, 1.0, float("nan"), "too low")
    mild = replace(opened, alarm=3, series=2, opened=now + 60 * MS)
    risen, rise = replace(mild, severity="major", peak_score=7.5), SeverityRise(2, mild.opened, "minor")
    points = recent(3)
    outputs = [
        step(0, points, series=NAMES, alarms=[opened, other, mild]),
        step(1, alarms=[cleared, risen], rises=[rise]),
    ]
    write_both(oracle, external, outputs)

    def text(record: AlarmRecord) -> str:
        known = record if external.keeps_texts else replace(record, reason="")
        return repr(known)

    def check() -> None:
        reader = external.reader()
        assert [text(a) for a in reader.alarms()] == [text(a) for a in oracle.alarms()]
        assert [a.alarm for a in reader.alarms(open_only=True)] == [3, 2]
        assert [a.alarm for a in reader.alarms(state=AlarmState.CLEARED)] == [1]
        assert [a.alarm for a in reader.alarms(series=1)] == [2]
        assert [a.alarm for a in reader.alarms(limit=1)] == [3]

    eventually_agree(check)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=200, unique=True), st.integers(2, 40), st.randoms())
def test_thinning_is_that_of_the_embedded_database(times: list[int], most: int, chance: Any) -> None:
    values = list(range(len(times)))
    chance.shuffle(values)
    time_of = np.array(sorted(times), np.int64)
    value = np.array(values, np.float64)
    anomaly = value % 7 == 0
    none = np.full(len(value), np.nan)
    whole = SeriesPoints(time_of, value, none, none, none, none, anomaly, len(value))
    found = thinned(whole, most)
    assert found.total == len(value)
    stretch = int(time_of[-1] - time_of[0]) // (most // 2) + 1
    bucket = (time_of - time_of[0]) // stretch
    kept = set(time_of[anomaly].tolist())
    for each in set(bucket.tolist()):
        rows = np.flatnonzero(bucket == each)
        kept |= {int(time_of[rows[value[rows].argmin()]]), int(time_of[rows[value[rows].argmax()]])}
    assert found.time.tolist() == sorted(kept)
