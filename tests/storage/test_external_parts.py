"""What readers and writers of external databases share: names of series, thinning, alarms from events, lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from serving import serving

from devices.batch import ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from storage.external.lines import LineBlock, LineProtocol
from storage.external.reader_parts import FIELDS, AlarmEvent, ExternalReader, thinned
from storage.retention import plan_victoria
from storage.storage_settings import SinkSettings
from storage.store import SeriesPoints, StepOutput

KNOWN = [SeriesRecord(0, "pump", "flow", "m³/h"), SeriesRecord(3, "fan", "speed")]


class HeldReader(ExternalReader):
    """A reader of a database that is a few lists."""

    stored: tuple[tuple[str, str], ...] = (("pump", "flow"), ("door", "open"), ("crane", "load"))
    points_stored = 5
    events: tuple[AlarmEvent, ...] = ()

    def _names(self) -> Iterable[tuple[str, str]]:
        return self.stored

    def _read(self, device: str, metric: str, start: int | None, end: int | None) -> Any:
        time = (
            np.arange(self.points_stored, dtype=np.int64) if (device, metric) in self.stored else np.empty(0, np.int64)
        )
        kept = time[(time >= (start or 0)) & (time < (end if end is not None else 99))]
        columns = dict.fromkeys(FIELDS, kept * 1.0) | {"anomaly": np.where(kept == 2, 1.0, np.nan)}
        return kept, columns

    def _read_last(self, device: str, metric: str, n: int, end: int | None) -> Any:
        time, columns = self._read(device, metric, None, end)
        return time[-n:], {name: column[-n:] for name, column in columns.items()}

    def _newest(self) -> Iterable[tuple[str, str, int, Mapping[str, float]]]:
        return [
            ("fan", "speed", 7, {"value": 1.5, "score": 2.5, "anomaly": 1.0, "quality": 2.0}),
            ("pump", "flow", 9, {"value": 0.5, "expected": 0.75, "lower": 0.25, "upper": 1.25, "quality": 1.0}),
            ("crane", "load", 8, {"value": 4.0, "anomaly": 0.0, "quality": 0.0}),
        ]

    def _alarm_events(self) -> Iterable[AlarmEvent]:
        return self.events

    def close(self) -> None:
        pass


def test_series_that_are_not_known_get_the_next_numbers_in_order_of_names() -> None:
    reader = HeldReader(KNOWN)
    assert reader.series() == [KNOWN[0], SeriesRecord(4, "crane", "load"), SeriesRecord(5, "door", "open")]
    assert reader.series() == reader.series()
    assert [record.series for record in HeldReader().series()] == [0, 1, 2]


def test_points_are_asked_for_by_number_or_by_name_and_two_is_the_least_a_chart_has() -> None:
    reader = HeldReader(KNOWN)
    assert reader.points(0).time.tolist() == [0, 1, 2, 3, 4]
    assert reader.points(0, 1, 4).time.tolist() == [1, 2, 3]
    assert reader.points(4).total == 5, "a series that was found is known by its number"
    assert reader.points(3).total == 0
    assert reader.points_of("pump", "flow", max_points=5).total == 5
    assert reader.points_of("pump", "flow", max_points=5).time.tolist() == [0, 1, 2, 3, 4]
    assert reader.points_of("pump", "flow", max_points=2).time.tolist() == [0, 2, 4]
    assert reader.points_of("pump", "flow").anomaly.tolist() == [False, False, True, False, False]
    with pytest.raises(ValueError, match="max_points is 1: expected 2 or more"):
        reader.points(0, max_points=1)
    with pytest.raises(ValueError, match="series 9 is not known: expected one of 4"):
        reader.points(9)


def test_the_last_points_are_one_at_least_and_series_without_any_are_left_out() -> None:
    reader = HeldReader(KNOWN)
    assert reader.last_of("pump", "flow", 1).time.tolist() == [4]
    assert (reader.last_of("pump", "flow", 3).total, reader.last_of("pump", "flow", 3, 2).time.tolist()) == (3, [0, 1])
    with pytest.raises(ValueError, match="the last 0 points were asked for: expected 1 or more"):
        reader.last_of("pump", "flow", 0)
    assert [(series, found.total) for series, found in reader.history(2)] == [(0, 2), (4, 2), (5, 2)]
    reader.points_stored = 0
    assert list(reader.history(2)) == []


def test_the_newest_points_are_in_order_of_series_with_what_they_have() -> None:
    found = HeldReader(KNOWN).latest()
    assert (found.series.tolist(), found.time.tolist(), found.value.tolist()) == ([0, 3, 4], [9, 7, 8], [0.5, 1.5, 4.0])
    assert (found.anomaly.tolist(), found.late.tolist()) == ([False, True, False], [False, True, False])
    assert (found.expected[0], found.lower[0], found.upper[0], found.score[1]) == (0.75, 0.25, 1.25, 2.5)
    assert np.isnan([found.score[0], found.expected[1], found.score[2]]).all()
    assert HeldReader(KNOWN).latest([3, 77]).series.tolist() == [3]
    assert len(HeldReader(KNOWN).latest([])) == 0


def event(time: int, state: int, alarm: int = 1, device: str = "pump", **more: Any) -> AlarmEvent:
    numbers = {"alarm": alarm, "state": state, "opened": 5, "peak_score": 3.5, "value": 1.0} | more.pop("numbers", {})
    return AlarmEvent(device, "flow" if device == "pump" else "speed", "major", time, numbers, **more)


def test_the_last_event_of_an_alarm_is_the_alarm_with_what_all_said_of_it() -> None:
    reader = HeldReader(KNOWN)
    reader.events = (
        event(9, 0, numbers={"peak_score": 6.5}, reason="over"),
        event(5, 1, parts={"level": 2.0}),
        event(6, 2, parts={"noise": 1.0}),
        event(7, 1, 2, "fan"),
        event(7, 2, 3),
    )
    cleared, opened, acknowledged = reader.alarms()[2], *reader.alarms()[1::-1]
    assert cleared == AlarmRecord(
        1, 0, AlarmState.CLEARED, 5, 9, "major", 6.5, 1.0, cleared.expected, "over", {"level": 2.0, "noise": 1.0}
    )
    assert math.isnan(cleared.expected)
    assert (opened.alarm, opened.series, opened.state, opened.opened, opened.cleared) == (
        2,
        3,
        AlarmState.OPEN,
        7,
        None,
    )
    assert (acknowledged.alarm, acknowledged.state) == (3, AlarmState.ACKNOWLEDGED)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [3, 2, 1]),
        ({"open_only": True}, [3, 2]),
        ({"state": AlarmState.OPEN}, [2]),
        ({"state": AlarmState.CLEARED}, [1]),
        ({"state": AlarmState.CLEARED, "open_only": True}, []),
        ({"series": 0}, [3, 1]),
        ({"series": 3, "state": AlarmState.OPEN}, [2]),
        ({"limit": 2}, [3, 2]),
        ({"limit": 0}, []),
    ],
)
def test_alarms_are_chosen_by_all_that_is_asked_the_newest_first(asked: dict[str, Any], found: list[int]) -> None:
    reader = HeldReader(KNOWN)
    reader.events = (event(9, 0), event(7, 1, 2, "fan"), event(7, 2, 3))
    assert [alarm.alarm for alarm in reader.alarms(**asked)] == found


def points(*values: float, anomalies: tuple[int, ...] = (), step: int = 1) -> SeriesPoints:
    value = np.array(values)
    anomaly = np.isin(np.arange(len(value)), anomalies)
    return SeriesPoints(
        np.arange(len(value), dtype=np.int64) * step, value, value, value, value, value, anomaly, len(value)
    )


@pytest.mark.parametrize(
    ("given", "most", "kept"),
    [
        (points(5, 1, 9, 9, 1, 5), 2, [1, 2]),
        (points(5, 1, 9, 9, 1, 5), 4, [1, 2, 3, 4]),
        (points(5, 1, 9, 9, 1, 5), 3, [1, 2]),
        (points(5, 5, 5, 5, 5, 5), 2, [0]),
        (points(1, 2, 3, 4, 5, 6, anomalies=(2, 5)), 2, [0, 2, 5]),
        (points(1, 2, 3, 4, step=10), 4, [0, 1, 2, 3]),
        (points(4, 3, 2, 1, 2, 3, step=7), 4, [0, 2, 3, 5]),
    ],
)
def test_of_each_stretch_the_earliest_least_and_greatest_stay(given: SeriesPoints, most: int, kept: list[int]) -> None:
    found = thinned(given, most)
    assert (found.time.tolist(), found.total) == ([given.time[row] for row in kept], len(given.time))
    assert found.value.tolist() == [given.value[row] for row in kept]


def test_a_slice_of_lines_is_those_lines_alone() -> None:
    text = ["a 1", "bcd 2", "", "e 3"]
    encoded = [line.encode() + b"\n" for line in text]
    block = LineBlock(memoryview(b"".join(encoded)), np.cumsum([len(line) for line in encoded]))
    for first in range(5):
        for last in range(5):
            assert block[first:last].text == text[first:last]
            assert len(block[first:last]) == len(text[first:last])
            assert block[first:last].ends.tolist() == np.cumsum([len(line) for line in encoded[first:last]]).tolist()
    assert block[1:4][1:3].text == ["", "e 3"]


def one_point(series: int, *, score: float = 1.0, late: bool = False, novelty: float = math.nan) -> ScoredBatch:
    value, scores, expected, lower, upper = (np.array([each]) for each in (2.0, score, math.inf, math.nan, 2.25))
    flags = np.array([True]), np.array([late])
    return ScoredBatch(
        np.array([series], np.int32), np.array([5]), value, scores, expected, lower, upper, *flags, np.array([novelty])
    )


@pytest.mark.parametrize(
    ("point", "fields"),
    [
        (one_point(0), "value=2,score=1,upper=2.25,anomaly=1i,quality=0i"),
        (one_point(0, score=math.nan), "value=2,upper=2.25,anomaly=1i,quality=1i"),
        (one_point(0, score=math.nan, late=True), "value=2,upper=2.25,anomaly=1i,quality=2i"),
        (one_point(0, score=1.239, novelty=0.125), "value=2,score=1.24,upper=2.25,novelty=0.12,anomaly=1i,quality=0i"),
    ],
)
def test_a_line_says_what_a_point_has_and_whether_it_was_scored(point: ScoredBatch, fields: str) -> None:
    assert LineProtocol(KNOWN).block(StepOutput(0, 1, point)).text == [f"driftline,device=pump,metric=flow {fields} 5"]


@pytest.mark.parametrize(
    ("series", "said"),
    [
        (1, "series 1 has no name: expected a record of it before its points"),
        (4, "series 4 has no name: expected it among the 4 known"),
        (-1, "series -1 has no name: expected it among the 4 known"),
    ],
)
def test_a_point_of_a_series_without_a_name_is_refused(series: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LineProtocol(KNOWN).block(StepOutput(0, 1, one_point(series)))


@pytest.mark.parametrize("series", [-1, 1, 4])
def test_an_alarm_of_a_series_without_a_name_is_refused(series: int) -> None:
    alarm = AlarmRecord(7, series, AlarmState.OPEN, 4, None, "major", 3.5, 2.0, 1.0, "odd")
    empty = one_point(0).take(np.empty(0, np.intp))
    with pytest.raises(ValueError, match=f"series {series} of alarm 7 has no name: expected a record of it before"):
        LineProtocol(KNOWN).block(StepOutput(0, 1, empty, alarms=[alarm]))


def test_an_alarm_tells_what_raised_it_when_it_opens_alone_and_finite_shares_alone() -> None:
    opened = AlarmRecord(7, 3, AlarmState.OPEN, 4, None, "major", 3.5, 2.0, 1.0, "odd", {"a": 1.0, "b": math.inf})
    taken = AlarmRecord(7, 3, AlarmState.ACKNOWLEDGED, 4, None, "major", math.nan, 2.0, 1.0, "odd", {"a": 1.0})
    block = LineProtocol(KNOWN).block(StepOutput(0, 1, one_point(0), alarms=[opened, taken]))
    start = "driftline_alarm,device=fan,metric=speed,severity=major alarm=7i"
    assert block.text[1:] == [
        f'{start},state=1i,open=1i,opened=4i,peak_score=3.5,value=2.0,expected=1.0,reason="odd" 4',
        f'{start},state=2i,open=1i,opened=4i,value=2.0,expected=1.0,reason="odd" 4',
        "driftline_alarm_detector,device=fan,metric=speed,detector=a decades=1.0 4",
    ]
    assert block[1:2].text == block.text[1:2]


def test_a_series_that_is_told_anew_has_its_new_name() -> None:
    protocol = LineProtocol(KNOWN)
    protocol.learn([SeriesRecord(5, "late", "x"), SeriesRecord(0, "pump 2", "flow")])
    assert protocol.block(StepOutput(0, 1, one_point(0))).text[0].startswith("driftline,device=pump\\ 2,metric=flow ")
    assert protocol.block(StepOutput(0, 1, one_point(3))).text[0].startswith("driftline,device=fan,metric=speed ")
    assert protocol.block(StepOutput(0, 1, one_point(5))).text[0].startswith("driftline,device=late,metric=x ")


class Flags(BaseHTTPRequestHandler):
    """Says the flags that a VictoriaMetrics was started with."""

    text = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/flags" else 404)
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def flags_url() -> Iterator[str]:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Flags)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("flags", "keep", "found", "action"),
    [
        ({"retentionPeriod": "30d"}, "30d", "30d", ""),
        ({"retentionPeriod": "30d"}, "29d", "30d", "start VictoriaMetrics with -retentionPeriod=29d"),
        ({"retentionPeriod": "30d"}, "697h", "30d", ""),
        ({"retentionPeriod": "30d"}, "696h", "30d", "start VictoriaMetrics with -retentionPeriod=29d"),
        ({"retentionPeriod": "48h"}, "2d", "48h", ""),
        ({"retentionPeriod": "2w"}, "14d", "2w", ""),
        ({"retentionPeriod": "1y"}, "365d", "1y", ""),
        ({"retentionPeriod": "1"}, "31d", "1", ""),
        ({}, "31d", "1", ""),
        ({"retentionPeriod": "1.5y"}, "30d", "1.5y", "start VictoriaMetrics with -retentionPeriod=30d"),
        ({"retentionPeriod": "30d"}, None, "30d", ""),
    ],
)
def test_the_retention_of_victoriametrics_is_told_in_whole_days(
    flags_url: str, flags: dict[str, str], keep: str | None, found: str, action: str
) -> None:
    Flags.text = "".join(f'-{name}="{value}"\n' for name, value in (flags | {"x": "y"}).items()).encode()
    steps = plan_victoria(SinkSettings(name="vm", type="victoriametrics", url=flags_url, keep=keep))
    Flags.text += b'-dedup.minScrapeInterval="1ms"\n'
    settings = SinkSettings.model_validate(
        {"name": "vm", "type": "victoriametrics", "url": flags_url, "downsample": [{}]}
    )
    once = plan_victoria(settings)[1:]
    assert [(step.subject, step.found, step.wanted, step.action) for step in steps] == [
        ("points", found, keep or found, action),
        ("points written again", "-dedup.minScrapeInterval=0s", "one stays",
         "start VictoriaMetrics with -dedup.minScrapeInterval=1ms"),
    ]  # fmt: skip
    assert [(step.subject, step.found, step.action) for step in once] == [
        ("points written again", "one stays", ""),
        ("coarser copies", "none",
         "leave sinks.downsample out: VictoriaMetrics downsamples in its enterprise edition alone"),
    ]  # fmt: skip
