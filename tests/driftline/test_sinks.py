from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from victoria import Victoria

from devices.batch import ScoredBatch
from devices.records import SeriesRecord
from driftline.runtime.sink_worker import PresenceChanges, Sinks, SinkWorker
from driftline.runtime.store_worker import StoreWorker
from storage.embedded.database import EmbeddedStore
from storage.external.influx import RejectedLine
from storage.external.spool import Spool, refused_lines
from storage.snapshots import SnapshotStore
from storage.storage_settings import SinkSettings, SpoolSettings
from storage.store import StepOutput

WaitUntil = Callable[..., None]
START = 1_700_000_000 * 10**9


def output(position: int, values: list[float] | None = None, n: int = 3) -> StepOutput:
    value = np.array(values if values is not None else np.arange(n) + position * 10.0)
    n = len(value)
    points = ScoredBatch(
        np.arange(n, dtype=np.int32) % 3,
        START + (position * 1000 + np.arange(n) // 3) * 10**6,
        value,
        value,
        value,
        value,
        value,
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
    )
    names = [SeriesRecord(i, f"d{i}", "v") for i in range(3)] if position == 0 else []
    return StepOutput(position, position + 1, points, names, counts={"received": n})


class Recorder:
    """A sink that keeps what it takes, and is in trouble while `trouble` is set."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []
        self.tries = 0
        self.trouble = threading.Event()
        self.refuse: list[RejectedLine] = []

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def write(self, output: StepOutput) -> list[RejectedLine]:
        self.tries += 1
        if self.trouble.is_set():
            raise OSError("told to fail")
        self.taken.append((output.position, output.next_position))
        return self.refuse


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool.db", ["a", "b"]) as opened:
        yield opened


def worker_on(spool: Spool, name: str, sink: Recorder, said: list[str]) -> SinkWorker:
    return SinkWorker(name, sink, spool, say=said.append, max_backoff=0.01, chance=Random(1))


def covered(taken: list[tuple[int, int]]) -> list[int]:
    return [position for first, end in taken for position in range(first, end)]


def test_a_sink_in_trouble_stalls_no_other_and_catches_up_in_order(spool: Spool, wait_until: WaitUntil) -> None:
    good, bad, said = Recorder(), Recorder(), list[str]()
    bad.trouble.set()
    workers = [worker_on(spool, "a", good, said), worker_on(spool, "b", bad, said)]
    for worker in workers:
        worker.start()
    for position in range(20):
        spool.append(output(position))
        for worker in workers:
            worker.wake()
    wait_until(lambda: spool.lag("a").points == 0 and bad.tries > 3)
    assert covered(good.taken) == list(range(20))
    state = workers[1].state()
    assert (state.trouble, state.lag.points) == ("told to fail", 60)
    assert said == ["sink b: told to fail; what it misses waits in the spool"]
    bad.trouble.clear()
    wait_until(lambda: spool.lag("b").points == 0)
    assert covered(bad.taken) == list(range(20))
    wait_until(lambda: len(said) == 2)
    assert said[1].startswith("sink b: takes writes again after 0 s")
    assert workers[1].state().lag.written == 60
    for worker in workers:
        worker.stop()


def test_refused_lines_are_kept_and_do_not_hold_up_the_rest(spool: Spool, wait_until: WaitUntil) -> None:
    sink = Recorder()
    sink.refuse = [RejectedLine("driftline,device=d0 value=1", "400 no")]
    worker = worker_on(spool, "a", sink, [])
    worker.start()
    spool.append(output(0))
    worker.wake()
    wait_until(lambda: spool.lag("a").refused == 1)
    assert spool.lag("a").written == 2
    assert [(line.sink, line.line) for line in refused_lines(spool.path)] == [("a", "driftline,device=d0 value=1")]
    worker.stop()


def test_stopping_drains_and_a_sink_in_trouble_does_not_hold_it_up(spool: Spool) -> None:
    good, bad = Recorder(), Recorder()
    bad.trouble.set()
    workers = [
        worker_on(spool, "a", good, []),
        SinkWorker("b", bad, spool, say=lambda _: None, max_backoff=3600, chance=Random(1)),
    ]
    spool.append(output(0))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.stop(seconds=20)
    assert covered(good.taken) == [0]
    assert spool.lag("b").points == 3


def test_only_changed_states_are_noted() -> None:
    changes = PresenceChanges()
    yes, no = np.array([True, True]), np.array([True, False])
    names = ["a", "b", "c"]
    assert [d.device for d in changes.since_last(names, yes, np.array([0, 0]), 1)] == ["a", "b"]
    assert changes.since_last(names, yes, np.array([0, 0]), 2) == []
    [one] = changes.since_last(names, no, np.array([0, 0]), 3)
    assert (one.device, one.time, one.online, one.open_alarms) == ("b", 3, False, 0)
    found = changes.since_last(names, np.array([True, False, True]), np.array([4, 0, 0]), 4)
    assert [(d.device, d.open_alarms) for d in found] == [("a", 4), ("c", 0)]
    changes.forget()
    assert len(changes.since_last(names, yes, np.array([0, 0]), 5)) == 2


def run_stores(
    folder: Path, settings: list[SinkSettings], outputs: list[StepOutput], drained: WaitUntil | None = None
) -> None:
    """A service's storing of these outputs, from start to clean stop."""
    said: list[str] = []
    with (
        EmbeddedStore(folder / "points.duckdb") as store,
        SnapshotStore(folder / "snapshots.db") as snapshots,
    ):
        sinks = Sinks(folder / "spool.db", settings, spool=SpoolSettings(), say=said.append, clock=lambda: START)
        sinks.open(store.series(), stored=store.position, journal_end=outputs[-1].next_position)
        stores = StoreWorker(store, snapshots, flush_seconds=0.01, sinks=sinks)
        stores.start()
        for each in outputs:
            stores.put(each)
        stores.stop()
        assert stores.error is None
        if drained is not None:
            drained(lambda: all(state.lag.points == 0 for state in sinks.states()))
        sinks.stop()


@pytest.mark.parametrize("lost", ["spool.db", "an older copy"])
def test_a_spool_that_was_lost_is_told_from_one_that_never_was(tmp_path: Path, lost: str) -> None:
    settings = [SinkSettings(name="s", url="http://127.0.0.1:9", timeout="50ms")]
    path = tmp_path / "spool.db"

    def opened(before: list[str], stored: int) -> str:
        sinks = Sinks(path, settings, spool=SpoolSettings(), say=lambda _: None, clock=lambda: START)
        word = sinks.open([], stored=stored, journal_end=9, before=before)
        sinks.stop()
        return word

    assert opened([], 4) == "", "the first run with an external database begins where the embedded one stands"
    assert opened(["s"], 4) == ""
    older = path.read_bytes()
    with Spool(path, ["s"]) as spool:
        spool.append(output(4))
    path.unlink()
    if lost != "spool.db":
        path.write_bytes(older)
    word = opened(["s"], 5)
    assert word.startswith(f"{path} stands at journal position {4 if lost != 'spool.db' else 0}, and 5 was stored")
    assert "the spool was lost, or is an older copy; what waited in it for s is not sent there" in word
    assert opened(["s"], 5) == "", "said once; the data folder remembers it until it is confirmed"


@pytest.mark.parametrize("spooled_ahead", [0, 1, 2])
def test_after_a_kill_between_spool_and_database_nothing_is_lost_or_doubled(tmp_path: Path, spooled_ahead: int) -> None:
    outputs = [output(position) for position in range(6)]
    # A kill left the database at 2 and the spool up to two outputs further; the engine scores again from 1 on.
    with EmbeddedStore(tmp_path / "points.duckdb") as store, Spool(tmp_path / "spool.db", ["s"]) as spool:
        for each in outputs[:2]:
            store.commit(each, spool.append)
        for each in outputs[2 : 2 + spooled_ahead]:
            spool.append(each)
    settings = [SinkSettings(name="s", url="http://127.0.0.1:9", timeout="50ms")]
    run_stores(tmp_path, settings, outputs[1:])
    with Spool(tmp_path / "spool.db", ["s"]) as spool:
        waiting = [entry for _, entry in spool.read("s")]
        assert [(p.position, p.next_position) for p in waiting][-1][1] == 6
        assert covered([(p.position, p.next_position) for p in waiting]) == list(range(6))
        assert sum(len(p.points) for p in waiting) == 18
    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        assert store.counts()["stored"] == 18


def test_the_spool_gets_what_the_database_keeps(tmp_path: Path) -> None:
    first = output(0)
    again = StepOutput(1, 2, first.points)
    with EmbeddedStore(tmp_path / "points.duckdb") as store, Spool(tmp_path / "spool.db", ["s"]) as spool:
        store.commit(first, spool.append)
        store.commit(again, spool.append)
        kept = [entry.points.value.tolist() for _, entry in spool.read("s")]
    assert kept == [[0.0, 1.0, 2.0], []]


def test_what_cannot_be_spooled_is_not_stored(tmp_path: Path) -> None:
    def full(_: StepOutput) -> None:
        raise OSError("no room")

    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        with pytest.raises(OSError, match="no room"):
            store.commit(output(0), full)
        assert store.position == 0
        assert store.latest().series.tolist() == []
        assert store.commit(output(0)).stored == 3


@pytest.mark.service("victoria-metrics")
def test_several_databases_each_hold_everything(tmp_path: Path, free_port: int, wait_until: WaitUntil) -> None:
    outputs = [output(position, n=300) for position in range(20)]
    with Victoria(tmp_path / "vm", free_port, wait_until) as victoria:
        settings = [
            SinkSettings(name="one", type="victoriametrics", url=victoria.url),
            SinkSettings(name="two", type="victoriametrics", url=victoria.url, gzip=False, batch_lines=700),
        ]
        run_stores(tmp_path, settings, outputs, wait_until)
        with Spool(tmp_path / "spool.db", ["one", "two"]) as spool:
            assert spool.lag("one").written == spool.lag("two").written == 6000
        with EmbeddedStore(tmp_path / "points.duckdb") as store:
            for record in store.series():
                points = store.points(record.series)
                there = victoria.samples(f'driftline_value{{device="{record.device}"}}')[record.device, record.metric]
                assert there == dict(zip((points.time // 10**6).tolist(), points.value.tolist(), strict=True))
