"""The firmware's machine of states, on a clock and a connection of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest
from firmware_sim.firmware.commands import BadCommandError, read_command
from firmware_sim.firmware.device import Firmware, FirmwareOptions, State
from firmware_sim.firmware.device_clock import DeviceClock
from firmware_sim.firmware.mqtt_frames import Will
from firmware_sim.payload_style import DeviceIdentity
from firmware_sim.payload_styles import find_style
from firmware_sim.plant_export import by_device
from firmware_sim.plants import PlantOptions, make_plant
from firmware_sim.samples import NEVER, Presence, Sample, SampleStream
from firmware_sim.worlds import find_world

SECOND = 1_000_000_000


class EverySecond:
    """A sensor that measures the whole second."""

    def __init__(self) -> None:
        self.last = 0

    def read(self, now: int) -> list[Sample]:
        found = [Sample(second * SECOND, {"v": second}) for second in range(self.last + 1, now // SECOND + 1)]
        self.last = now // SECOND
        return found

    def next_time(self, now: int) -> int:
        return (now // SECOND + 1) * SECOND


@dataclass
class Line:
    """Keeps what the device does with its connection."""

    calls: list[str] = field(default_factory=list)
    sent: list[tuple[str, bytes, bool]] = field(default_factory=list)
    will: Will | None = None
    subscriptions: tuple[str, ...] = ()
    unacknowledged: int = 0

    def connect(self, *, will: Will | None = None, subscriptions: tuple[str, ...] = ()) -> None:
        self.calls.append("connect")
        self.will, self.subscriptions = will, subscriptions

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        assert qos in (0, 1)
        self.sent.append((topic, payload, retain))

    def disconnect(self) -> None:
        self.calls.append("disconnect")

    def drop(self) -> None:
        self.calls.append("drop")

    def values(self) -> list[float]:
        return [json.loads(payload)["v"] for topic, payload, _ in self.sent if topic == "plant/a"]

    def reports(self, part: str) -> list[dict[str, object]]:
        return [json.loads(payload) for topic, payload, _ in self.sent if topic == f"plant/a/{part}"]


class Writer:
    def announcements(self) -> list[tuple[str, bytes]]:
        return [("plant/a/$description", b"{}")]

    def messages(self, samples: list[Sample]) -> list[tuple[str, bytes]]:
        return [("plant/a", json.dumps({"ts": one.time, **one.values}).encode()) for one in samples]


class Bench:
    """A device and its line; `run` lets time pass, `online` boots it until the broker has answered."""

    def __init__(self, **options: object) -> None:
        self.line = Line()
        self.now = 0
        self.firmware = Firmware(
            FirmwareOptions("plant/a", Presence("plant/a/status"), drift=0.0, **options),  # type: ignore[arg-type]
            EverySecond(),
            self.line,
            Writer(),
            Random(1),
        )
        self.firmware.power_on(0)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = self.now + int(seconds * SECOND)
        while self.firmware.next_wake <= end and not until():
            self.now = max(self.now, self.firmware.next_wake)
            self.firmware.wake(self.now)
        if not until():
            self.now = end

    def online(self) -> Bench:
        self.run(30, lambda: self.firmware.state is State.CONNECTING)
        self.firmware.connected(self.now)
        return self

    def command(self, **fields: object) -> None:
        self.firmware.received(self.now, json.dumps(fields).encode())


def test_a_device_boots_tests_itself_and_connects_with_a_last_will() -> None:
    bench = Bench()
    states = [bench.firmware.state]
    while bench.firmware.state is not State.CONNECTING:
        bench.run(30, lambda: bench.firmware.state is not states[-1])
        states.append(bench.firmware.state)
    assert states == [State.BOOTING, State.SELF_TEST, State.CONNECTING]
    assert bench.line.will == Will(b"plant/a/status", b"offline", retain=True, qos=1)
    assert bench.line.subscriptions == ("plant/a/command",)
    bench.firmware.connected(bench.now)
    assert bench.firmware.state is State.ONLINE
    assert ("plant/a/status", b"online", True) in bench.line.sent


def test_what_is_measured_while_offline_is_kept_and_flushed_in_order_when_the_broker_is_back() -> None:
    bench = Bench().online()
    bench.run(5)
    before = bench.line.values()
    bench.firmware.connection_lost(bench.now)
    bench.run(200, lambda: bench.firmware.kept >= 120)
    assert bench.line.values() == before
    if bench.firmware.state is not State.CONNECTING:
        bench.run(70, lambda: bench.firmware.state is State.CONNECTING)
    bench.firmware.connected(bench.now)
    assert bench.firmware.kept > 0
    bench.run(3)
    values = bench.line.values()
    assert values == list(range(1, bench.now // SECOND + 1))
    assert bench.firmware.kept == 0


def test_a_full_buffer_loses_the_oldest_and_counts_them() -> None:
    bench = Bench(buffer=10).online()
    bench.firmware.connection_lost(bench.now)
    lost = bench.firmware.lost_samples
    bench.run(30)
    assert bench.firmware.kept == 10
    assert bench.firmware.lost_samples >= lost + 19


def test_pauses_between_attempts_grow_to_a_minute() -> None:
    bench = Bench()
    attempts: list[int] = []
    while len(attempts) < 9:
        bench.run(120, lambda: bench.line.calls.count("connect") > len(attempts))
        attempts.append(bench.now)
        bench.firmware.connection_lost(bench.now)
    pauses = [(b - a) / SECOND for a, b in pairwise(attempts)]
    assert 0.5 <= pauses[0] <= 1
    assert 30 <= pauses[-1] <= 60


def test_a_brown_out_loses_what_was_kept_and_boots_anew() -> None:
    bench = Bench().online()
    bench.firmware.connection_lost(bench.now)
    bench.run(20)
    kept = bench.firmware.kept
    bench.firmware.brown_out(bench.now)
    assert (bench.firmware.state, bench.firmware.kept, bench.firmware.lost_samples) == (State.BOOTING, 0, kept)
    assert bench.line.calls[-1] == "drop"


def test_an_interval_thins_what_is_sent_and_zero_takes_it_back() -> None:
    bench = Bench().online()
    bench.command(command="interval", value="10s")
    assert bench.line.reports("result")[-1]["state"] == "ok"
    sent = len(bench.line.values())
    bench.run(60)
    assert len(bench.line.values()) - sent in (6, 7)
    bench.command(command="interval", value="0s")
    sent = len(bench.line.values())
    bench.run(20)
    assert len(bench.line.values()) - sent >= 19


def test_an_update_tells_its_progress_and_starts_the_new_version() -> None:
    bench = Bench().online()
    bench.command(command="update", version="1.1.0", value="5s")
    bench.run(6, lambda: bench.firmware.state is State.BOOTING)
    progress = [report.get("progress") for report in bench.line.reports("update")]
    assert progress == [20, 40, 60, 80, 100, None]
    bench.online()
    assert bench.firmware.version == "1.1.0"
    assert bench.line.reports("update")[-1]["state"] == "done"


def test_an_update_with_a_wrong_checksum_leaves_the_old_version_running() -> None:
    bench = Bench().online()
    bench.command(command="update", version="1.1.0", value="5s", broken=True)
    bench.run(10)
    assert (bench.firmware.state, bench.firmware.version) == (State.ONLINE, "1.0.0")
    assert bench.line.reports("update")[-1]["state"] == "failed"


def test_a_bad_version_crashes_three_times_and_is_rolled_back() -> None:
    bench = Bench().online()
    bench.command(command="update", version="6.6.6", value="1s", bad=True)
    for _ in range(3):
        bench.run(60, lambda: bench.firmware.state is State.BOOTING)
        bench.online()
        assert bench.firmware.version == "6.6.6"
        bench.run(30, lambda: bench.firmware.state is State.CRASHED)
        assert bench.firmware.state is State.CRASHED
    bench.run(60, lambda: bench.firmware.state is State.BOOTING)
    bench.online()
    assert bench.firmware.version == "1.0.0"
    assert bench.line.reports("update")[-1] == {
        "ts": bench.line.reports("update")[-1]["ts"],
        "state": "rolled back",
        "version": "1.0.0",
    }
    bench.run(120)
    assert bench.firmware.state is State.ONLINE


def test_a_device_on_batteries_sleeps_between_samples_and_says_goodbye_each_time() -> None:
    bench = Bench(sleeps=True).online()
    bench.run(2, lambda: bench.firmware.state is State.SLEEPING)
    assert bench.firmware.state is State.SLEEPING
    assert bench.line.calls[-1] == "disconnect"
    bench.run(2, lambda: bench.firmware.state is State.CONNECTING)
    assert bench.firmware.state is State.CONNECTING


def test_a_device_on_batteries_stays_awake_until_the_broker_has_confirmed_what_it_sent() -> None:
    bench = Bench(sleeps=True)
    bench.line.unacknowledged = 1
    bench.online().run(0.9)
    assert bench.firmware.state is State.ONLINE
    bench.line.unacknowledged = 0
    bench.run(0.3)
    assert bench.firmware.state is State.SLEEPING


def test_without_power_nothing_happens_any_more() -> None:
    bench = Bench().online()
    bench.firmware.power_off()
    assert (bench.firmware.state, bench.firmware.next_wake) == (State.OFF, NEVER)
    assert bench.line.calls[-1] == "drop"


def test_a_clock_drifts_until_it_is_set() -> None:
    clock = DeviceClock(drift=1e-4)
    clock.synchronise(0, 0.0)
    assert clock.read(10_000 * SECOND) == 10_001 * SECOND
    clock.synchronise(10_000 * SECOND, -0.25)
    assert clock.read(10_000 * SECOND) == 9_999_750_000_000


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"now", "expected a JSON object"),
        (b"[]", 'expected a JSON object with "command"'),
        (b'{"command":"restart"}', 'command: unknown "restart"'),
        (b'{"command":"interval","value":"often"}', 'value: "often" is not a duration'),
        (b'{"command":"update"}', 'version: expected text such as "1.2.0"'),
    ],
)
def test_a_command_that_cannot_be_obeyed_is_answered_with_what_was_expected(payload: bytes, complaint: str) -> None:
    with pytest.raises(BadCommandError) as refused:
        read_command(payload)
    assert complaint in str(refused.value)
    bench = Bench().online()
    bench.firmware.received(bench.now, payload)
    assert complaint in str(bench.line.reports("result")[-1]["error"])


def conversation_of(seed: int) -> list[tuple[str, bytes, bool]]:
    """What a motor of a hall says in a day in which the broker goes and comes, and an update arrives."""
    plant = make_plant(find_world("machine-hall"), 5, PlantOptions(days=2, learning_days=0.5))
    series = by_device(plant.series)["motor-01"]
    identity = DeviceIdentity("plant", "motor", "motor-01", {one.metric.name: one.metric.unit for one in series})
    line, chance = Line(), Random(seed)
    options = FirmwareOptions("plant/motor/motor-01", Presence("plant/motor/motor-01/status"))
    firmware = Firmware(options, SampleStream(series), line, find_style("sparkplug").encoder(identity), chance)
    now = plant.start
    firmware.power_on(now)
    while now < plant.start + 86_400 * SECOND:
        now = max(now, firmware.next_wake)
        firmware.wake(now)
        if firmware.state is State.CONNECTING and chance.random() < 0.8:
            firmware.connected(now)
        elif firmware.state is State.CONNECTING or chance.random() < 0.002:
            firmware.connection_lost(now)
        elif chance.random() < 0.001:
            firmware.received(now, b'{"command": "update", "version": "1.1.0"}')
    return line.sent


def test_one_seed_gives_one_run_byte_for_byte_and_another_seed_another() -> None:
    sent = conversation_of(1)
    assert len(sent) > 1_000
    assert conversation_of(1) == sent
    assert conversation_of(2) != sent
