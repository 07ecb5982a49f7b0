"""Adding a kind of external database is one class and one line: a third one is registered, configured, written to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from devices.batch import Batch, ScoredBatch
from devices.records import SeriesRecord
from driftline.config import parse_config
from driftline.config_errors import ConfigError
from driftline.runtime.sink_worker import Sinks
from storage.external import sink_registry
from storage.external.influx import RejectedLine
from storage.external.sink_registry import SINKS, InfluxKind, external_reader, sink_kind
from storage.retention import Step, plan_sink
from storage.storage_settings import SinkSettings
from storage.store import StepOutput

POINTS = ScoredBatch.unscored(Batch(np.zeros(3, np.int32), np.arange(3), np.array([0.0, 1.5, 3.0])), late=False)


class ListSettings(SinkSettings):
    """A setting that no other kind has."""

    shelf: int = 0


class ListWriter:
    written: ClassVar[dict[int, list[float]]] = {}

    def __init__(self, settings: SinkSettings) -> None:
        assert isinstance(settings, ListSettings)
        self.shelf = settings.shelf

    def open(self) -> None: ...

    def close(self) -> None: ...

    def write(self, output: StepOutput) -> list[RejectedLine]:
        self.written.setdefault(self.shelf, []).extend(output.points.value.tolist())
        return []


class ListKind(InfluxKind):
    name: ClassVar[str] = "list"
    Settings: ClassVar[type[SinkSettings]] = ListSettings
    libraries: ClassVar[tuple[tuple[str, str], ...]] = (("lists", "a_module_of_lists"),)

    @staticmethod
    def writer(settings: SinkSettings, *, token: str, series: Sequence[SeriesRecord]) -> Any:  # noqa: ARG004
        return ListWriter(settings)

    @staticmethod
    def reader(settings: SinkSettings, *, token: str, known: Iterable[SeriesRecord]) -> Any:  # noqa: ARG004
        return "a reader of lists"

    @staticmethod
    def plan(settings: SinkSettings, token: str) -> list[Step]:  # noqa: ARG004
        return [Step(settings.name, "points", "forever", "forever")]


def test_a_third_kind_is_one_class_and_one_line(
    tmp_path: Path, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_registry, "SINKS", (*SINKS, ListKind))
    text = '[[sinks]]\nname = "mine"\ntype = "list"\nurl = "http://nowhere"\nshelf = 7\n'
    with pytest.raises(ConfigError, match=r"sinks\[0\]: needs the library a_module_of_lists, which is not installed"):
        parse_config(text)
    monkeypatch.setattr(ListKind, "libraries", ())
    config = parse_config(text)
    [settings] = config.sinks
    assert (type(settings), settings.type) == (ListSettings, "list")
    assert external_reader(settings) == "a reader of lists"
    assert [step.found for step in plan_sink(settings, "")] == ["forever"]
    sinks = Sinks(tmp_path / "spool.db", config.sinks, spool=config.spool, say=lambda _: None, clock=lambda: 0)
    sinks.open([], stored=0, journal_end=0)
    sinks.append(StepOutput(0, 1, POINTS))
    wait_until(lambda: ListWriter.written.get(7) == [0.0, 1.5, 3.0], what="the points in the list")
    sinks.stop()


def test_an_unknown_kind_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r'sinks\[0\]\.type.*"influx".*did you mean "influxdb"'):
        parse_config('[[sinks]]\nname = "mine"\ntype = "influx"\nurl = "http://nowhere"\n')


def test_every_kind_has_a_name_of_its_own_and_all_that_others_ask_for() -> None:
    assert len({kind.name for kind in SINKS}) == len(SINKS)
    for kind in SINKS:
        assert sink_kind(kind.name) is kind
        assert issubclass(kind.Settings, SinkSettings)
        assert kind.panel_language in ("flux", "promql")
