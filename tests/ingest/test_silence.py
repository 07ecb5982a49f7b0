"""What falls silent is an alarm while it lasts, driven by the arrival of everything else and by ticks."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.alarm_settings import AlarmSettings
from devices.messages import FLAG_RETAIN, MessageChunk
from devices.records import AlarmRecord, AlarmState
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from ingest.silence import Silence, SilenceWatch
from storage.store import JournalEntry

SECOND = 10**9
START = 1_750_000_000 * SECOND


class Plant:
    """An engine, the alarms that came of what it was given, and the arrival clock."""

    def __init__(self) -> None:
        detectors = {"default": ComponentSettings(type="zscore")}
        routes = [RouteSettings(filter="#", detectors=["default"])]
        self.engine = Engine(routes, detectors, AlarmSettings(), LimitSettings())
        self.now = START
        self.alarms: list[AlarmRecord] = []

    def send(self, device: str, flags: int = 0, **metrics: float) -> None:
        body = json.dumps(metrics).encode()
        self._step(MessageChunk.of([(device.encode(), body, self.now, flags)]))

    def tick(self) -> None:
        self._step(MessageChunk.of([], ticked_at=self.now))

    def away(self) -> None:
        self._step(MessageChunk.reception_gap(self.now))

    def rounds(self, count: int, *devices: str, every: int = 10) -> None:
        for _ in range(count):
            for device in devices:
                self.send(device, level=3.0, speed=7.0)
            self.now += every * SECOND

    def seen(self) -> list[tuple[str, str, AlarmState]]:
        records = self.engine.registry.records
        return [(records[a.series].device, records[a.series].metric, a.state) for a in self.alarms]

    def _step(self, chunk: MessageChunk) -> None:
        self.alarms += self.engine.step(JournalEntry(self.engine.position, 0, chunk)).alarms


def test_a_device_that_stops_opens_an_alarm_without_a_message_and_ends_it_when_it_is_back() -> None:
    plant = Plant()
    plant.rounds(60, "hall/pump")
    stopped = plant.now - 10 * SECOND
    for _ in range(30):
        assert plant.engine.wants_tick(plant.now)
        plant.tick()
        plant.now += 10 * SECOND
    assert plant.seen() == [("hall/pump", "device:silent", AlarmState.OPEN)]
    (alarm,) = plant.alarms
    assert 30 * SECOND <= alarm.opened - stopped <= 70 * SECOND
    assert alarm.severity == "major"
    assert math.isnan(alarm.value)
    assert math.isnan(alarm.expected)
    assert alarm.reason == "the device has been silent for 51 s; it is heard from at least every 10 s otherwise"
    plant.send("hall/pump", level=3.0, speed=7.0)
    assert [(a.alarm, a.state, a.cleared_reason) for a in plant.alarms[1:]] == [
        (alarm.alarm, AlarmState.CLEARED, "heard from again")
    ]
    assert plant.alarms[1].cleared == plant.now


def discovery(plant: Plant, **more: object) -> None:
    said = {"state_topic": "hall/pump", "value_template": "{{ value_json.level }}", "dev": {"name": "Pump"}, **more}
    row = (b"homeassistant/sensor/pump/config", json.dumps(said).encode(), plant.now, FLAG_RETAIN)
    plant._step(MessageChunk.of([row]))


def test_what_discovery_expects_to_come_again_is_silent_once_it_does_not() -> None:
    plant = Plant()
    discovery(plant, expire_after=120)
    plant.send("hall/pump", level=3.0, speed=7.0)
    plant.send("hall/fan", level=3.0)
    for _ in range(15):
        plant.now += 10 * SECOND
        plant.send("hall/pump", speed=7.0)
    # A new device, of which nothing is known by habit; and the fan, of which nothing is described.
    assert plant.seen() == [("hall/pump", "level", AlarmState.OPEN)]
    assert plant.alarms[0].reason == (
        "level has not come for 2.18 min; its description says that it comes at least every 2 min (expire_after)"
    )
    plant.send("hall/pump", level=3.0, speed=7.0)
    assert plant.seen()[1:] == [("hall/pump", "level", AlarmState.CLEARED)]
    for _ in range(13):
        plant.now += 10 * SECOND
        plant.tick()
    assert plant.seen()[2:] == [("hall/pump", "device:silent", AlarmState.OPEN)]
    assert plant.alarms[-1].reason == (
        "the device has been silent for 2.02 min; its description says that it comes at least every 2 min "
        "(expire_after)"
    )
    names = plant.engine.registry.device_names
    silent = plant.engine.liveness.silent(plant.now)
    assert {name: bool(silent[number]) for number, name in enumerate(names)} == {"hall/pump": True, "hall/fan": False}


def test_an_expiry_that_discovery_takes_back_holds_no_more_and_a_restart_keeps_one() -> None:
    plant = Plant()
    discovery(plant, expire_after=120)
    plant.send("hall/pump", level=3.0)
    arrays, rest = plant.engine.state()
    later = Plant()
    later.engine.load(plant.engine.position, arrays, rest)
    for each, told in ((plant, {}), (later, {"expire_after": 120})):
        each.now = plant.now + 10 * SECOND
        discovery(each, **told)
        each.send("hall/pump", level=3.0)
        for _ in range(14):
            each.now += 10 * SECOND
            each.tick()
    assert plant.seen() == []
    assert later.seen() == [("hall/pump", "device:silent", AlarmState.OPEN)]


def test_nobody_is_silent_while_the_broker_is_away_and_everybody_has_their_time_anew_after_it() -> None:
    plant = Plant()
    plant.rounds(60, "hall/pump")
    for _ in range(30):
        plant.away()
        plant.now += 10 * SECOND
    plant.away()
    back = plant.now
    assert plant.seen() == []
    for _ in range(30):
        plant.now += 10 * SECOND
        plant.tick()
    assert plant.seen() == [("hall/pump", "device:silent", AlarmState.OPEN)]
    assert 30 * SECOND <= plant.alarms[0].opened - back <= 70 * SECOND


def test_a_short_loss_of_the_connection_gives_nobody_more_time() -> None:
    plant, undisturbed = Plant(), Plant()
    for each in (plant, undisturbed):
        each.rounds(60, "hall/pump")
    for number in range(30):
        plant.away() if number % 2 else plant.tick()
        undisturbed.tick()
        plant.now = undisturbed.now = plant.now + 10 * SECOND
    assert [alarm.opened for alarm in plant.alarms] == [alarm.opened for alarm in undisturbed.alarms]
    assert len(plant.alarms) == 1


def test_a_metric_that_its_device_sends_no_longer_is_an_alarm_of_that_metric() -> None:
    plant = Plant()
    plant.rounds(60, "hall/pump", "hall/fan")
    for _ in range(30):
        plant.send("hall/pump", level=3.0)
        plant.send("hall/fan", level=3.0, speed=7.0)
        plant.now += 10 * SECOND
    assert plant.seen() == [("hall/pump", "speed", AlarmState.OPEN)]
    assert "speed has not come for 1.02 min, though its device sends" in plant.alarms[0].reason
    plant.send("hall/pump", level=3.0, speed=7.0)
    assert plant.seen()[1:] == [("hall/pump", "speed", AlarmState.CLEARED)]


def test_nobody_is_called_silent_for_the_time_in_which_nothing_was_listened_to() -> None:
    plant = Plant()
    plant.rounds(60, "hall/pump", "hall/fan")
    plant.now += 7200 * SECOND
    plant.rounds(3, "hall/pump")
    assert plant.alarms == []
    plant.rounds(30, "hall/pump")
    assert plant.seen() == [("hall/fan", "device:silent", AlarmState.OPEN)]


def test_a_retained_message_does_not_end_the_silence() -> None:
    plant = Plant()
    plant.rounds(60, "hall/pump", "hall/fan")
    plant.rounds(30, "hall/pump")
    assert plant.seen() == [("hall/fan", "device:silent", AlarmState.OPEN)]
    plant.send("hall/fan", FLAG_RETAIN, level=3.0, speed=7.0)
    assert len(plant.alarms) == 1


def test_a_saved_state_goes_on_where_it_was() -> None:
    plant, other = Plant(), Plant()
    plant.rounds(60, "hall/pump", "hall/fan")
    plant.rounds(30, "hall/pump")
    arrays, rest = plant.engine.state()
    other.engine.registry.load(plant.engine.registry.records)
    other.engine.load(plant.engine.position, arrays, json.loads(json.dumps(rest)))
    other.now = plant.now
    other.rounds(5, "hall/pump", "hall/fan")
    assert other.seen() == [("hall/fan", "device:silent", AlarmState.CLEARED)]


def test_a_device_that_comes_back_has_its_time_anew_for_what_it_sends_seldom() -> None:
    plant = Plant()
    for _ in range(30):
        plant.rounds(6, "hall/fan")
        plant.send("hall/pump", level=3.0, speed=7.0)
    plant.rounds(60, "hall/fan")
    assert plant.seen() == [("hall/pump", "device:silent", AlarmState.OPEN)]
    plant.send("hall/pump", level=3.0)
    plant.rounds(6, "hall/fan")
    plant.send("hall/pump", level=3.0, speed=7.0)
    assert plant.seen()[1:] == [("hall/pump", "device:silent", AlarmState.CLEARED)]


arrivals = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from((1, 300, 700, 2_000, 9_000, 24_000, 26_000))), min_size=40, max_size=90
)


@settings(max_examples=60, deadline=None)
@given(arrivals)
def test_a_look_that_is_left_out_would_have_found_nobody(drawn: list[tuple[int, int]]) -> None:
    """Three devices of two metrics each. One watch has no note of who is due when, and looks each second."""
    device_of = np.array([0, 0, 1, 1, 2, 2], np.int32)
    watch, looking = SilenceWatch(), SilenceWatch()
    found: list[list[Silence]] = []
    now = START
    for series, gap in [*((number % 6, 500) for number in range(150)), *drawn]:
        now += gap * SECOND // 1000
        heard, at = np.array([series], np.int32), np.array([now])
        looking.load({name: array for name, array in looking.state().items() if name != "nobody_before"})
        for each in (watch, looking):
            each.grow(3, 6)
            found.append(each.step(device_of[heard], heard, at, at, at, device_of, lambda _: True))
    assert found[0::2] == found[1::2]
