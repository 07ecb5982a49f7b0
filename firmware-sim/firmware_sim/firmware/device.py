"""The firmware of a simulated device, as an explicit machine of states.

```
off ─▶ booting ─▶ self-test ─▶ connecting ─▶ online ◀─▶ sleeping (on batteries)
          ▲                        │  ▲         │
          │                        ▼  │         ▼
       crashed ◀── (bad version)  offline    updating ─▶ booting (new version), or online (failed)
```

Sampling goes on in every state from connecting on: what cannot be sent is kept, and flushed when the broker is back.
Time, chance, sensor and connection are given from outside: one seed gives one run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Protocol

import orjson

from common.time_units import SECOND
from firmware_sim.firmware.commands import BadCommandError, Command, CommandName, read_command
from firmware_sim.firmware.device_clock import DeviceClock
from firmware_sim.firmware.mqtt_frames import Will
from firmware_sim.firmware.updates import Update, UpdateState
from firmware_sim.samples import NEVER, Presence, Sample

BOOT_SECONDS = (1.0, 3.0)
SELF_TEST_SECONDS = 0.5
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0
SYNC_SECONDS = 6 * 3600.0
FLUSH_EVERY_SECONDS = 0.2
FLUSH_READINGS = 50
CRASH_AFTER_SECONDS = (5.0, 20.0)
CRASHES_BEFORE_ROLLBACK = 3


class State(StrEnum):
    """What a device is doing."""

    OFF = "off"
    BOOTING = "booting"
    SELF_TEST = "self-test"
    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"
    SLEEPING = "sleeping"
    UPDATING = "updating"
    CRASHED = "crashed"


class Sensor(Protocol):
    """What a device measures with."""

    def read(self, now: int) -> list[Sample]:
        """What was measured since the last call, up to `now`, ns."""
        ...

    def next_time(self, now: int) -> int:
        """When there is something to measure next, ns; NEVER where there is nothing more."""
        ...


class Connection(Protocol):
    """The device's end of the network; what happens to it is told to the firmware's methods."""

    @property
    def unacknowledged(self) -> int:
        """Messages that the broker has not confirmed."""
        ...

    def connect(self, *, will: Will | None = None, subscriptions: tuple[str, ...] = ()) -> None:
        """Begin to connect."""
        ...

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Send a message."""
        ...

    def disconnect(self) -> None:
        """Say goodbye."""
        ...

    def drop(self) -> None:
        """Be gone without a word."""
        ...


class Encoder(Protocol):
    """How a device writes what it measured."""

    def announcements(self) -> list[tuple[str, bytes]]:
        """What it tells of itself, retained, when it has connected; what is written from then on begins anew."""
        ...

    def messages(self, samples: list[Sample]) -> list[tuple[str, bytes]]:
        """Topics and payloads of samples, in order."""
        ...


@dataclass(frozen=True, slots=True)
class FirmwareOptions:
    """What kind of device it is. `drift` is its clock's, in seconds a second; `buffer` how many samples it keeps.

    Without `presence` it says neither that it is there nor that it is gone.
    """

    topic: str
    presence: Presence | None = None
    qos: int = 1
    buffer: int = 5000
    drift: float = 2e-5
    sleeps: bool = False
    version: str = "1.0.0"


class Firmware:
    """One device. `wake` is called when `next_wake` has come; connection events come in between."""

    def __init__(
        self, options: FirmwareOptions, sensor: Sensor, connection: Connection, encoder: Encoder, random: Random
    ) -> None:
        self.options = options
        self.state = State.OFF
        self.version = options.version
        self.next_wake = NEVER
        self.lost_samples = 0
        self.clock = DeviceClock(drift=options.drift * random.uniform(-1, 1))
        self._sensor = sensor
        self._connection = connection
        self._encoder = encoder
        self._random = random
        self._kept: deque[Sample] = deque()
        self._retry = FIRST_RETRY_SECONDS
        self._update: Update | None = None
        self._previous_version: str | None = None
        self._is_bad = False
        self._rolled_back = False
        self._crashes = 0
        self._crash_at = NEVER
        self._state_until = NEVER
        self._interval = 0
        self._sampled = 0

    @property
    def kept(self) -> int:
        """Samples that wait to be sent."""
        return len(self._kept)

    @property
    def _may_sleep(self) -> bool:
        """Whether a device on batteries has sent all it has; it stays for the broker to confirm that."""
        return self.options.sleeps and not self._kept and self.state is State.ONLINE

    def power_on(self, now: int) -> None:
        """Begin to boot."""
        self._boot(now)

    def brown_out(self, now: int) -> None:
        """The supply fails for a moment: connection and memory are lost, the device boots again."""
        self._connection.drop()
        self.lost_samples += len(self._kept)
        self._kept.clear()
        self.clock.forget()
        self._boot(now)

    def power_off(self) -> None:
        """The supply is gone for good."""
        self._connection.drop()
        self._enter(State.OFF, NEVER)
        self.next_wake = NEVER

    def wake(self, now: int) -> None:
        """Do what is due."""
        if now >= self._crash_at:
            self._crash(now)
        elif now >= self._state_until:
            self._leave(now)
        if self.state in (State.CONNECTING, State.ONLINE, State.OFFLINE, State.SLEEPING, State.UPDATING):
            self._sample(now)
        if self.state in (State.ONLINE, State.UPDATING):
            self._flush()
        self._plan(now)

    def connected(self, now: int) -> None:
        """The broker has taken the connection."""
        self._retry = FIRST_RETRY_SECONDS
        self.clock.synchronise(now, self._random.gauss(0, 0.02))
        presence = self.options.presence
        if presence is not None and presence.online is not None:
            self._connection.publish(presence.topic, presence.online, qos=1, retain=True)
        for topic, payload in self._encoder.announcements():
            self._connection.publish(topic, payload, qos=1, retain=True)
        if self._is_bad:
            self._crash_at = now + self._seconds(*CRASH_AFTER_SECONDS)
        elif self._rolled_back:
            self._report(now, "update", {"state": UpdateState.ROLLED_BACK, "version": self.version})
            self._rolled_back = False
        elif self._previous_version is not None:
            self._report(now, "update", {"state": UpdateState.DONE, "version": self.version})
            self._previous_version, self._crashes = None, 0
        self._enter(State.ONLINE, now + int(SYNC_SECONDS * SECOND))
        self._flush()
        self._plan(now)

    def connection_lost(self, now: int) -> None:
        """The connection is gone, or could not be made: try again later, and keep what is measured meanwhile."""
        pause = self._retry * self._random.uniform(0.5, 1.0)
        self._retry = min(2 * self._retry, LAST_RETRY_SECONDS)
        self._update = None
        self._enter(State.OFFLINE, now + int(pause * SECOND))
        self._plan(now)

    def received(self, now: int, payload: bytes) -> None:
        """A command. What it is answered with goes to the device's topic `result`."""
        try:
            self._obey(now, read_command(payload))
        except BadCommandError as error:
            self._report(now, "result", {"error": str(error)})
        self._plan(now)

    def _obey(self, now: int, command: Command) -> None:
        if command.name is CommandName.RESET:
            self._report(now, "result", {"command": "reset", "state": "ok"})
            self._connection.disconnect()
            self._boot(now)
            return
        if command.name is CommandName.UPDATE:
            self._update = Update(command.version, command.seconds, bad=command.bad, broken=command.broken)
            self._enter(State.UPDATING, now)
            return
        if command.name is CommandName.INTERVAL:
            self._interval = command.interval
        elif command.name is CommandName.CALIBRATE:
            self.clock.synchronise(now, 0.0)
        self._report(now, "result", {"command": command.name.value, "state": "ok"})

    def _leave(self, now: int) -> None:
        """What follows the state whose time is over."""
        match self.state:
            case State.BOOTING:
                self._enter(State.SELF_TEST, now + int(SELF_TEST_SECONDS * SECOND))
            case State.CRASHED:
                self._boot(now)
            case State.SELF_TEST | State.OFFLINE:
                self._connect()
            case State.ONLINE:
                self.clock.synchronise(now, self._random.gauss(0, 0.02))
                self._enter(State.ONLINE, now + int(SYNC_SECONDS * SECOND))
            case State.UPDATING:
                self._go_on_updating(now)
            case State.CONNECTING:
                # No answer in the time that there was: take the connection for lost.
                self._connection.drop()
                self.connection_lost(now)
            case State.OFF | State.SLEEPING:
                self._state_until = NEVER

    def _boot(self, now: int) -> None:
        self._crash_at = NEVER
        self._update = None
        self._enter(State.BOOTING, now + self._seconds(*BOOT_SECONDS))
        self._plan(now)

    def _connect(self) -> None:
        presence = self.options.presence
        will = None
        if presence is not None:
            will = Will(presence.topic.encode(), presence.offline, retain=presence.online is not None)
        self._enter(State.CONNECTING, self._state_until + int(LAST_RETRY_SECONDS * SECOND))
        self._connection.connect(will=will, subscriptions=(f"{self.options.topic}/command",))

    def _crash(self, now: int) -> None:
        """A bad version falls over its own feet; after three times the one before it is started."""
        self._connection.drop()
        self._crash_at = NEVER
        self._crashes += 1
        if self._crashes >= CRASHES_BEFORE_ROLLBACK and self._previous_version is not None:
            self.version, self._previous_version, self._is_bad, self._crashes = self._previous_version, None, False, 0
            self._rolled_back = True
        self._enter(State.CRASHED, now + self._seconds(*BOOT_SECONDS))

    def _go_on_updating(self, now: int) -> None:
        update = self._update
        if update is None:
            self._enter(State.ONLINE, now + int(SYNC_SECONDS * SECOND))
            return
        state, progress = update.advance()
        if state is UpdateState.DOWNLOADING:
            self._report(now, "update", {"state": state, "progress": progress, "version": update.version})
            self._state_until = now + update.step
        elif state is UpdateState.FAILED:
            self._report(now, "update", {"state": state, "version": update.version, "cause": "checksum"})
            self._update = None
            self._enter(State.ONLINE, now + int(SYNC_SECONDS * SECOND))
        else:
            self._report(now, "update", {"state": state, "version": update.version})
            self._connection.disconnect()
            self._previous_version, self.version, self._is_bad = self.version, update.version, update.bad
            self._boot(now)

    def _sample(self, now: int) -> None:
        if self._interval and now < self._sampled + self._interval:
            return
        samples = [Sample(self.clock.read(sample.time), sample.values) for sample in self._sensor.read(now)]
        if not samples:
            return
        self._sampled = now
        if self._interval:
            samples = samples[-1:]
        self._kept.extend(samples)
        while len(self._kept) > self.options.buffer:
            self._kept.popleft()
            self.lost_samples += 1
        if self.state is State.SLEEPING:
            self._state_until = now
            self._connect()

    def _flush(self) -> None:
        """Send what is kept, a part at a time, so that a long absence does not flood the broker."""
        part = [self._kept.popleft() for _ in range(min(FLUSH_READINGS, len(self._kept)))]
        for topic, payload in self._encoder.messages(part):
            self._connection.publish(topic, payload, qos=self.options.qos)
        if self._may_sleep and not self._connection.unacknowledged:
            self._connection.disconnect()
            self._enter(State.SLEEPING, NEVER)

    def _plan(self, now: int) -> None:
        """When to wake next."""
        if self.state is State.OFF:
            self.next_wake = NEVER
            return
        due = [self._state_until, self._crash_at]
        if self.state not in (State.BOOTING, State.SELF_TEST, State.CRASHED):
            following = self._sensor.next_time(now)
            due.append(max(following, self._sampled + self._interval) if self._interval else following)
        if self._may_sleep or (self._kept and self.state in (State.ONLINE, State.UPDATING)):
            due.append(now + int(FLUSH_EVERY_SECONDS * SECOND))
        self.next_wake = max(min(due), now + 1)

    def _report(self, now: int, part: str, fields: Mapping[str, object]) -> None:
        stamped = {"ts": self.clock.read(now) // 1_000_000, **fields}
        self._connection.publish(f"{self.options.topic}/{part}", orjson.dumps(stamped), qos=1)

    def _enter(self, state: State, until: int) -> None:
        self.state = state
        self._state_until = until

    def _seconds(self, least: float, most: float) -> int:
        return int(self._random.uniform(least, most) * SECOND)
