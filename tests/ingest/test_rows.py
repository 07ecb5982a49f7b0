"""Devices as a whole, by what the engine makes of journal entries."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from devices.batch import ScoredBatch
from devices.messages import MessageChunk
from devices.records import AlarmState, SeriesRecord
from ingest.ingest_settings import ComponentSettings, LimitSettings, MetricSettings, RouteSettings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry, StepOutput

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
DETECTORS = {
    "default": ComponentSettings(type="zscore", warmup=10),
    "whole": ComponentSettings(type="joint", warmup=60),
    "pca": ComponentSettings(type="pca", channels=4, warmup=60),
}
METRICS = ("flow", "power", "heat")


def make(
    detectors: Sequence[str] = ("default", "whole"),
    known: Sequence[SeriesRecord] = (),
    limits: LimitSettings | None = None,
) -> Engine:
    route = RouteSettings(
        filter="#", detectors=list(detectors), metrics=[MetricSettings(match="uptime", detectors=["default"])]
    )
    alarm = AlarmSettings(threshold=4.0, clear_after=20)
    return Engine([route], DETECTORS, alarm, limits or LimitSettings(), known)


Message = tuple[bytes, bytes, int, int]


def payloads(rows: int, shift: float = 0.0, first: int = 0, device: str = "pump") -> list[Message]:
    rng = np.random.default_rng(first + 1)
    load = rng.normal(size=(rows, 1))
    values = 20 + load * [1.0, -2.0, 0.5] + rng.normal(0, 0.3, (rows, 3)) + [shift, 0.0, shift]
    found = []
    for i, row in enumerate(values.tolist(), first):
        said = {"ts": START // SECOND + i, **dict(zip(METRICS, row, strict=True)), "uptime": i}
        found.append((device.encode(), json.dumps(said).encode(), START + i * SECOND, 0))
    return found


def feed(engine: Engine, messages: list[Message], size: int = 25) -> list[StepOutput]:
    outputs = []
    for start in range(0, len(messages), size):
        position = engine.position
        chunk = MessageChunk.of(messages[start : start + size])
        outputs.append(engine.step(JournalEntry(position, position * 1000, chunk)))
    return outputs


def device_points(engine: Engine, outputs: list[StepOutput], name: str) -> ScoredBatch:
    number = engine.registry.find("pump", f"device:{name}")
    points = ScoredBatch.concatenate([output.points for output in outputs])
    return points.take(points.series == number)


def test_a_devices_rows_are_scored_as_a_series_of_its_own() -> None:
    engine = make()
    outputs = feed(engine, payloads(100))
    records = [record for output in outputs for record in output.series]
    assert [r.metric for r in records] == ["flow", "power", "device:whole", "heat", "uptime"]
    points = device_points(engine, outputs, "whole")
    assert points.time.tolist() == [START + i * SECOND for i in range(60, 100)]
    assert np.isfinite(points.score).all()
    np.testing.assert_array_equal(points.value, points.score)
    assert engine.warming(records[2].series) == (100, 60)


def test_a_fault_in_several_channels_is_one_alarm_that_names_them_and_their_shares(tmp_path: Path) -> None:
    engine = make()
    before = feed(engine, payloads(300))
    outputs = feed(engine, payloads(60, shift=9.0, first=300))
    alarms = [alarm for output in outputs for alarm in output.alarms]
    (opened,) = [alarm for alarm in alarms if alarm.state is AlarmState.OPEN]
    assert engine.registry.records[opened.series].metric == "device:whole"
    assert set(opened.parts) <= set(METRICS)
    assert {"flow", "heat"} <= set(opened.parts)
    assert sum(opened.parts.values()) == pytest.approx(opened.peak_score, abs=0.01)
    assert re.match(r"the device's metrics are odd together, score \d+\.\d by whole: ", opened.reason)
    assert re.search(r"flow [\d.]+ \(\d+%; expected [\d.]+, [\d.]+ to [\d.]+; [\d.]+ times as far off", opened.reason)
    channel = ScoredBatch.concatenate([output.points for output in outputs])
    assert channel.anomaly[channel.series == 0].any()
    opened_counts = sum(output.counts.get("alarms_opened", 0) for output in outputs)
    assert opened_counts == len(engine.open_alarms) == 1
    with EmbeddedStore(tmp_path / "store.duckdb") as store:  # in the session that met the device
        for output in [*before, *outputs]:
            store.commit(output)
        (stored,) = store.alarms(open_only=True)
        assert (stored.parts, stored.reason) == (opened.parts, opened.reason)


def test_while_the_rows_warm_up_the_channels_alarm_themselves() -> None:
    engine = make()
    outputs = feed(engine, payloads(40)) + feed(engine, payloads(5, shift=50.0, first=40))
    opened = {alarm.series for output in outputs for alarm in output.alarms if alarm.state is AlarmState.OPEN}
    assert {engine.registry.records[series].metric for series in opened} >= {"flow", "heat"}
    assert engine.registry.find("pump", "device:whole") not in opened
    cleared = [a for output in feed(engine, payloads(200, first=45)) for a in output.alarms]
    closed = {engine.registry.records[a.series].metric for a in cleared if a.state is AlarmState.CLEARED}
    assert closed >= {"flow", "heat"}


def test_a_detector_that_does_not_take_the_channels_scores_leaves_them_their_alarms() -> None:
    engine = make(("default", "pca"))
    feed(engine, payloads(300))
    outputs = feed(engine, payloads(10, shift=30.0, first=300))
    opened = {a.series for output in outputs for a in output.alarms if a.state is AlarmState.OPEN}
    assert {engine.registry.records[series].metric for series in opened} == {"flow", "heat", "device:pca"}


def test_a_device_of_one_metric_has_no_scores_as_a_whole() -> None:
    engine = make()
    messages = [(b"probe/t", b"%d" % (i % 7), START + i * SECOND, 0) for i in range(200)]
    outputs = feed(engine, messages)
    assert [r.metric for o in outputs for r in o.series] == ["t"]
    assert {int(s) for o in outputs for s in o.points.series} == {0}


def test_the_ledger_closes_with_the_rows_in_it() -> None:
    outputs = feed(make(("default", "whole", "pca")), payloads(150))
    received = sum(output.counts.get("received", 0) for output in outputs)
    assert received == sum(len(output.points) for output in outputs) == 150 * 4 + 2 * 90


@pytest.mark.parametrize("cut", [1, 3, 7, 12])
def test_a_restored_engine_goes_on_bit_for_bit(cut: int) -> None:
    messages = payloads(300) + payloads(60, shift=9.0, first=300)
    whole, first = make(("default", "whole", "pca")), make(("default", "whole", "pca"))
    expected = feed(whole, messages)
    begun = feed(first, messages[: cut * 25])
    arrays, rest = first.state()
    second = make(("default", "whole", "pca"), [r for o in begun for r in o.series])
    assert second.load(cut, arrays, json.loads(json.dumps(rest))) == {}
    for one, other in zip(expected[cut:], feed(second, messages[cut * 25 :]), strict=True):
        assert one.counts == other.counts
        assert one.series == other.series
        assert one.alarms == other.alarms
        for name in ScoredBatch.__slots__:
            assert getattr(one.points, name).tobytes() == getattr(other.points, name).tobytes(), name


def test_routes_that_name_no_such_detector_score_as_if_there_were_none() -> None:
    messages = payloads(120)
    with_them = ScoredBatch.concatenate([o.points for o in feed(make(), messages)])
    without = ScoredBatch.concatenate([o.points for o in feed(make(("default",)), messages)])
    # The device's own series has number 2, since it comes with the second metric.
    channels = with_them.take(with_them.series != 2)
    assert (channels.series - (channels.series > 2)).tolist() == without.series.tolist()
    for name in ScoredBatch.__slots__[1:]:
        np.testing.assert_array_equal(getattr(channels, name), getattr(without, name))


def test_metrics_beyond_the_channels_and_the_limits_are_left_out_and_nothing_breaks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = make(("pca",))
    wide = []
    for i in range(90):
        said = {f"m{c}": (i * c) % 5 for c in range(9)}
        wide.append((b"rack", json.dumps(said).encode(), START + i * SECOND, 0))
    outputs = feed(engine, wide)
    assert sum(len(o.points) for o in outputs) == 9 * 90 + 30
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 1
    assert 'of device "rack" has no place in the rows of detector "pca"' in warned[0]
    tight = make(limits=LimitSettings(max_series=4))
    outputs = feed(tight, payloads(90))
    # The device's scores have taken the third place, so that the fourth metric finds none.
    assert sum(len(o.points) for o in outputs) == 3 * 90 + 30
    assert sum(o.counts.get("rejected.too_many_series", 0) for o in outputs) == 90


def test_a_metric_named_as_a_devices_scores_is_refused_with_the_reason() -> None:
    payload = json.dumps({"ts": START / SECOND, "device:joint": 1, "temp": 2}).encode()
    [output] = feed(make(), [(b"rack", payload, START, 0)])
    assert len(output.points) == 1
    [letter] = output.dead_letters
    assert letter.reason == "reserved"
    assert 'metric "device:joint"' in letter.detail
