"""A detector that starts anew learns from what is stored, raises nothing by it, and a restart goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from victoria import Victoria

from devices.messages import MessageChunk
from driftline.config import Config, parse_config
from driftline.runtime.recovery import new_engine
from driftline.runtime.warm_start import warm_start
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.external.influx import InfluxSink
from storage.external.sink_registry import external_reader
from storage.storage_settings import SinkSettings, StoreSettings
from storage.store import JournalEntry

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
ONE = '[detectors.default]\ntype = "zscore"\nwarmup = {warmup}\n'
WITH_NEW = ONE + '[detectors.more]\ntype = "cusum"\n[[routes]]\nfilter = "#"\ndetectors = ["default", "more"]\n'


def entry(position: int, values: list[float]) -> JournalEntry:
    rows = [
        (f"plant/{device}/t".encode(), str(value + device).encode(), START + (position * 100 + i) * SECOND + device, 0)
        for i, value in enumerate(values)
        for device in range(2)
    ]
    return JournalEntry(position, position * 2 * len(values), MessageChunk.of(rows))


def config(text: str) -> Config:
    return parse_config(text)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[tuple[Engine, EmbeddedStore]]:
    """A store with 200 points of two series, and the engine that made them, of the first configuration."""
    engine = new_engine(config(ONE.format(warmup=30)), [])
    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        for position, values in enumerate(np.random.default_rng(1).normal(20, 0.5, (2, 100)).round(3).tolist()):
            store.commit(engine.step(entry(position, values)))
        yield engine, store


def taken_over(old: Engine, text: str, store: EmbeddedStore) -> tuple[Engine, dict[str, str], list[str]]:
    new = new_engine(config(text), store.series())
    arrays, rest = old.state()
    anew = new.load(old.position, arrays, rest)
    said: list[str] = []
    warm_start(new, anew, arrays, store, said.append)
    return new, anew, said


def test_changed_parameters_score_the_very_next_reading(filled: tuple[Engine, EmbeddedStore]) -> None:
    old, store = filled
    new, anew, said = taken_over(old, ONE.format(warmup=50), store)
    assert anew == {"default": "its parameters changed"}
    assert said == ["learned from stored history: default, on 2 series"]
    output = new.step(entry(2, [20.0, 900.0]))
    assert np.isfinite(output.points.score).all()
    assert output.points.score[-1] > 5.0


def test_a_detector_of_a_new_name_is_warm_where_its_route_can_be_told(filled: tuple[Engine, EmbeddedStore]) -> None:
    old, store = filled
    new, anew, said = taken_over(old, WITH_NEW.format(warmup=30), store)
    assert anew == {"more": "nothing is saved of it"}
    assert said == ["learned from stored history: more, on 2 series"]
    (learned,) = (state for name, state in new.host.state().items() if name.startswith("more|"))
    assert learned["state.baseline"][:, 0].tolist() == [200.0, 200.0]


def test_history_raises_no_alarm_and_stores_nothing(filled: tuple[Engine, EmbeddedStore]) -> None:
    old, store = filled
    store.commit(old.step(entry(2, [20.0, 900.0, 20.0])))
    before = store.alarms()
    new, _, _ = taken_over(old, ONE.format(warmup=50), store)
    assert store.alarms() == before
    assert not new.step(entry(3, [20.0, 20.1])).points.anomaly.any()


def test_what_was_learned_is_in_the_state(filled: tuple[Engine, EmbeddedStore]) -> None:
    old, store = filled
    new, _, _ = taken_over(old, ONE.format(warmup=50), store)
    again = new_engine(config(ONE.format(warmup=50)), store.series())
    assert again.load(new.position, *new.state()) == {}
    np.testing.assert_array_equal(
        again.step(entry(2, [20.0, 23.0])).points.score, new.step(entry(2, [20.0, 23.0])).points.score
    )


def test_unchanged_detectors_are_left_alone(filled: tuple[Engine, EmbeddedStore]) -> None:
    old, store = filled
    new, anew, said = taken_over(old, ONE.format(warmup=30), store)
    assert (anew, said) == ({}, [])
    assert new.warming(0) == old.warming(0) == (200, 30)


@pytest.mark.service("victoria-metrics")
def test_what_the_database_no_longer_has_is_learned_from_the_sink_that_is_named(
    tmp_path: Path, free_port: int, wait_until: Callable[..., None]
) -> None:
    engine = new_engine(config(ONE.format(warmup=30)), [])
    path = tmp_path / "points.duckdb"
    with Victoria(tmp_path / "vm", free_port, wait_until) as server:
        settings = SinkSettings(name="plant", type="victoriametrics", url=server.url)
        older = external_reader(settings)
        with EmbeddedStore(path, StoreSettings(keep="20s"), older=older) as store, InfluxSink(settings) as sink:
            for position, values in enumerate(np.random.default_rng(1).normal(20, 0.5, (2, 100)).round(3).tolist()):
                store.commit(engine.step(entry(position, values)), sink.write)
            store.apply_retention(2**62)
            server.get("/internal/force_flush")
            assert store.query("SELECT count(*) FROM points").rows == [(60,)]
            new, _, said = taken_over(engine, WITH_NEW.format(warmup=30), store)
        assert said == ["learned from stored history: more, on 2 series"]
        (learned,) = (state for name, state in new.host.state().items() if name.startswith("more|"))
        assert learned["state.baseline"][:, 0].tolist() == [200.0, 200.0]
    with EmbeddedStore(path, StoreSettings(keep="20s"), older=older) as store:
        new, _, said = taken_over(engine, WITH_NEW.format(warmup=30), store)
        assert said[0].startswith(f"learned from the embedded database alone: {server.url}")
        assert said[1] == "learned from stored history: more, on 2 series"


def test_a_detector_of_rows_learns_from_the_history_of_all_its_series(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(20, 0.5, (300, 2)).round(3).tolist()

    def rows(position: int, pairs: list[list[float]]) -> JournalEntry:
        made = [
            (b"pump", b'{"a": %f, "b": %f}' % tuple(pair), START + (position * 300 + i) * SECOND, 0)
            for i, pair in enumerate(pairs)
        ]
        return JournalEntry(position, position * 300, MessageChunk.of(made))

    old = new_engine(config(ONE.format(warmup=30)), [])
    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        store.commit(old.step(rows(0, values)))
        text = ONE.format(warmup=30) + '[[routes]]\nfilter = "#"\ndetectors = ["default", "pca"]\n[detectors.pca]\n'
        new, anew, said = taken_over(old, text + 'type = "pca"\n', store)
        assert anew == {"pca": "nothing is saved of it"}
        assert said[0].startswith("learned from stored history: ")
        output = new.step(rows(1, [[20.0, 20.0], [20.0, 35.0]]))
        derived = new.registry.find("pump", "device:pca")
        assert derived is not None
        assert [record.series for record in output.series] == [derived]
        score = output.points.score[output.points.series == derived]
        assert len(score) == 2
        assert score[1] > 4.0
        store.commit(output)
        assert new.warming(derived) == (302, 200)
