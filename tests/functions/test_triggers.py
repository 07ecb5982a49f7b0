"""Which events the journal gives: of readings, alarms, devices and streams; and what is wrong with declarations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import pytest

from alerts.alarm_settings import AlarmSettings
from devices.messages import FLAG_REDELIVERED, MessageChunk
from driftline.config import parse_config
from driftline.config_errors import ConfigError
from functions.action_settings import CallHttp
from functions.function_settings import FunctionSettings
from functions.schedule import next_firing
from functions.triggers import triggers_of
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import FunctionEvent, JournalEntry
from streams.stream_settings import StreamSettings, stream_targets
from streams.stream_stage import Streams

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
DETECTORS = {"default": ComponentSettings(type="zscore", warmup=5)}
STREAM = StreamSettings.model_validate(
    {
        "name": "rollup",
        "from": "readings",
        "window": {"size": "1s"},
        "sql": "select count(*) as n from window",
        "to": ["function:on_row"],
    }
)
Message = tuple[bytes, bytes, int, int]


def function(name: str, **trigger: Any) -> FunctionSettings:
    return FunctionSettings.model_validate({"name": name, "file": "x.py", "trigger": trigger or {"type": "http"}})


FUNCTIONS = [
    function("on_reading", type="readings", topics=["plant/+"], shards=4),
    function("on_alarm", type="alarm", devices=["plant/p*"]),
    function("on_device", type="device", changes=["new"]),
    function("on_row"),
]


def engine() -> Engine:
    return Engine(
        [RouteSettings(filter="#", detectors=["default"])],
        DETECTORS,
        AlarmSettings(threshold=2.0, clear_after="3s", clear_readings=2),
        LimitSettings(),
        streams=Streams([STREAM]),
        functions=triggers_of(FUNCTIONS, stream_targets([STREAM])),
    )


def message(topic: str, seconds: float, flags: int = 1, **fields: Any) -> Message:
    return topic.encode(), orjson.dumps(fields), START + round(seconds * SECOND), flags


def stepped(engine: Engine, *pieces: list[Message]) -> list[FunctionEvent]:
    events, offset = [], 0
    for piece in pieces:
        events += engine.step(JournalEntry(engine.position, offset, MessageChunk.of(piece))).function_events
        offset += len(piece)
    return events


def of(events: list[FunctionEvent], name: str) -> list[dict[str, Any]]:
    return [orjson.loads(each.content) for each in events if each.function == name]


def test_readings_become_rows_in_order_with_numbers_and_states() -> None:
    first = message("plant/p1", 0, temp=20.5, state="run")
    again = (*first[:3], FLAG_REDELIVERED | 1)
    events = stepped(engine(), [first, message("other/x/y", 0.1, temp=1)], [again, message("plant/p2", 0.2, temp=3)])
    rows = of(events, "on_reading")
    assert rows == [
        {
            "device": "plant/p1",
            "topic": "plant/p1",
            "time": "2025-06-15T15:06:40.000Z",
            "arrival": "2025-06-15T15:06:40.000Z",
            "fields": {"temp": 20.5, "state": "run"},
        },
        {
            "device": "plant/p2",
            "topic": "plant/p2",
            "time": "2025-06-15T15:06:40.200Z",
            "arrival": "2025-06-15T15:06:40.200Z",
            "fields": {"temp": 3.0},
        },
    ]
    mine = [each for each in events if each.function == "on_reading"]
    assert [(each.position, each.trigger) for each in mine] == [
        (0, {"type": "readings", "position": 0}),
        (1, {"type": "readings", "position": 1}),
    ]
    assert len({each.key for each in mine}) == 2


def test_an_alarm_calls_when_it_opens_and_ends_a_device_when_it_is_new_and_a_stream_for_its_rows() -> None:
    steady = [message("plant/p1", n, temp=20.0 + 0.1 * (n % 3)) for n in range(40)]
    high = [message("plant/p1", 40 + n, temp=95.0) for n in range(3)]
    after = [message("plant/p1", 43 + n, temp=20.1) for n in range(12)]
    events = stepped(engine(), steady, high, after)
    alarms = of(events, "on_alarm")
    assert [(each["device"], each["metric"], each["state"]) for each in alarms] == [
        ("plant/p1", "temp", "open"),
        ("plant/p1", "temp", "cleared"),
    ]
    assert (alarms[0]["value"], alarms[0]["cleared"], alarms[1]["alarm"]) == (95.0, None, alarms[0]["alarm"])
    assert of(events, "on_device") == [
        {"type": "device", "device": "plant/p1", "change": "new", "time": "2025-06-15T15:06:40.000Z"}
    ]
    assert [row["n"] for row in of(events, "on_row")][:3] == [1, 1, 1]
    whole = stepped(engine(), steady + high + after)
    assert sorted(each.content for each in whole) == sorted(each.content for each in events), "however it is cut"


def test_the_state_goes_on_where_it_was_saved() -> None:
    before, after = engine(), engine()
    steady = [message("plant/p1", n, temp=20.0 + 0.1 * (n % 3)) for n in range(40)]
    stepped(before, steady, [message("plant/p1", 40, temp=95.0)])
    after.load(before.position, *before.state())
    output = after.step(JournalEntry(2, 41, MessageChunk.of([message("plant/p1", 41, temp=96.0)])))
    assert of(output.function_events, "on_alarm") == of(output.function_events, "on_device") == []
    assert of(output.function_events, "on_reading")[0]["fields"] == {"temp": 96.0}


@pytest.mark.parametrize("url", ["http://", "https:///told", "http://plc:99999/", "ftp://plc", "{url}"])
def test_an_address_without_a_host_or_with_a_port_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected an address that begins with http:// or https://, and a host"):
        CallHttp(url=url)


@pytest.mark.parametrize("url", ["http://{device}:{port}/x", "https://plant.example/{device}", "http://[::1]:80/"])
def test_an_address_may_have_places_for_the_events_fields(url: str) -> None:
    assert CallHttp(url=url).url == url


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(
            """
            [[functions]]
            name = "a"
            trigger = { type = "alarm" }
            [[functions]]
            name = "b"
            file = "b.py"
            trigger = { type = "schedule", cron = "0 0 30 2 *" }
            [[functions]]
            name = "c"
            file = "c.py"
            trigger = { type = "reading", topics = ["x"] }
            [[functions]]
            name = "d"
            file = "d.py"
            trigger = { type = "stream", stream = "rolups" }
            [[functions]]
            name = "e"
            action = "publish"
            with = { topic = "plant/{device}", as_readings = true }
            trigger = { type = "readings", topics = ["plant/#"] }
            [[functions]]
            name = "g"
            action = "http"
            with = { url = "ftp://x" }
            [[functions]]
            name = "h"
            file = "h.py"
            timeout = "1h"
            trigger = { type = "device", topics = ["x"] }
            [[streams]]
            name = "rollups"
            from = "readings"
            window = { size = "1s" }
            sql = "select count(*) as n from window"
            to = ["function:nobody"]
            """
        )
    places = [error.removeprefix("driftline.toml: ") for error in refused.value.errors]
    assert places == [
        "functions[0]: expected either file or action",
        'functions[1].trigger.cron: got "0 0 30 2 *": bad day-of-month; expected minute, hour, day, month and '
        'weekday, such as "0 6 * * mon"',
        'functions[2].trigger.type: unknown "reading"; did you mean "readings"? (known: alarm, device, http, '
        "readings, schedule, stream)",
        'functions[3].trigger.stream: unknown stream "rolups"; did you mean "rollups"? (known: rollups)',
        "functions[4].with.topic: a circle: e calls e; publish to a topic that none of them takes",
        'functions[5]: with.url: got "ftp://x", expected an address that begins with http:// or https://, '
        "and a host, such as http://127.0.0.1:8080/told",
        'functions[6].timeout: got "1h", expected at most 15m',
        "functions[6].trigger: a trigger of type device has no topics: expected changes and devices",
        'streams[0].to: unknown function "nobody" (known: d, e)',
    ]


def test_names_that_are_taken_and_settings_that_do_nothing_are_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(
            """
            [backup]
            folder = "backups"
            schedule = "* * * * * *"
            [home_assistant]
            score_every = "0s"
            [[notices]]
            name = "later"
            kind = "mqtt"
            events = ["cleared"]
            after = "5m"
            [[functions]]
            name = "calls"
            file = "calls.py"
            [[functions]]
            name = "kept"
            action = "row"
            with = { table = "points" }
            [[functions]]
            name = "twice"
            action = "row"
            with = { table = "twice", values = { A = 1, a = 2 } }
            """
        )
    assert sorted(error.removeprefix("driftline.toml: ") for error in refused.value.errors) == [
        'backup.schedule: got "* * * * * *", which has 6 fields; expected minute, hour, day, month and weekday, '
        'such as "0 6 * * mon"',
        'functions[0].name: "calls" is an address of the API, GET /functions/calls; choose another name',
        'functions[1]: with.table: "points" is a table already; choose another name',
        'functions[2]: with.values: the fields "A" and "a" are one column in SQL: give values with other names',
        'home_assistant.score_every: "0s": expected a duration above 0 and below 146 years',
        'notices[0].after: got "5m", expected events with "opened", which it is about',
    ]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("30 2 * * *", "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00"),  # 02:30 does not exist that day
        ("0 6 * * mon", "2026-03-29T12:00:00+00:00", "2026-03-30T04:00:00+00:00"),  # summer time
        ("0 6 * * mon", "2026-03-23T12:00:00+00:00", "2026-03-30T04:00:00+00:00"),
    ],
)
def test_a_schedule_keeps_to_the_clock_of_its_zone(cron: str, after: str, expected: str) -> None:
    at, wanted = (int(datetime.fromisoformat(text).timestamp()) * SECOND for text in (after, expected))
    assert next_firing(cron, "Europe/Berlin", at) == wanted
