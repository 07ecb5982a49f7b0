"""Load on a broker: devices with a session each that publish at a rate which ramps up, comes in bursts, or stays."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event

import numpy as np
import orjson

from firmware_sim.publisher import BrokerAddress, Message, StoppedError
from firmware_sim.session_publisher import SessionPublisher

STEP_SECONDS = 0.02
BURST_EVERY, BURST_LASTS = 10.0, 1.0
DRAIN_SECONDS = 30.0


class LoadPattern(StrEnum):
    """How the rate goes over time."""

    RAMP = "ramp"
    """From nothing to the rate, evenly."""
    BURST = "burst"
    """Ten times the rate for a second in every ten, and nothing between."""
    SOAK = "soak"
    """The same all the time."""

    def due(self, seconds: float, duration: float, rate: float) -> float:
        """How many messages should have been sent so many seconds after the start."""
        match self:
            case LoadPattern.RAMP:
                return rate * seconds * seconds / (2 * duration)
            case LoadPattern.BURST:
                bursts, within = divmod(seconds, BURST_EVERY)
                return rate * BURST_EVERY * (bursts + min(within / BURST_LASTS, 1.0))
            case LoadPattern.SOAK:
                return rate * seconds


@dataclass(slots=True)
class LoadReport:
    """What came of it. `latencies` in seconds, from giving a message to its socket to the broker's acknowledgement;
    `cpu_seconds` are this process's own while it published.
    """

    sent: int = 0
    acknowledged: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def latency(self, share: float) -> float:
        """The latency that this share of the messages did not exceed, seconds; NaN where none was acknowledged."""
        return float(np.quantile(self.latencies, share)) if self.latencies else float("nan")

    def sentence(self) -> str:
        """For a person."""
        milliseconds = [1000 * self.latency(share) for share in (0.5, 0.99, 1.0)]
        return (
            f"sent {self.sent:,}, acknowledged {self.acknowledged:,} in {self.seconds:.1f} s "
            f"({self.acknowledged / max(self.seconds, 1e-9):,.0f}/s); latency median {milliseconds[0]:.1f} ms, "
            f"99 in 100 within {milliseconds[1]:.1f} ms, longest {milliseconds[2]:.1f} ms; "
            f"own CPU {self.cpu_seconds:.1f} s"
        )


class LoadRun:
    """Publishes from `devices` sessions, in turn. `rate` is messages a second of all together.

    Acknowledgements are taken to come in the order of the messages, as MQTT 3.1.1 (4.6) asks within a session: the
    mean latency is exact, the quantiles nearly.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        devices: int,
        rate: float,
        duration: float,
        pattern: LoadPattern = LoadPattern.SOAK,
        qos: int = 1,
        prefix: str = "load",
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, value in (("devices", devices), ("rate", rate), ("duration", duration)):
            if value <= 0:
                raise ValueError(f"{name} {value:g}: expected more than 0")
        self._topics = [f"{prefix}/device-{number:05}".encode() for number in range(1, devices + 1)]
        self._rate, self._duration, self._pattern = rate, duration, pattern
        self._say = say
        self._clock = clock
        self._stop = Event()
        self._publisher = SessionPublisher(address, self._topics, qos=qos, in_flight=60_000, say=say, stop=self._stop)
        self._waiting: deque[tuple[float, int]] = deque()
        self._cpu_before = time.process_time()
        self.report = LoadReport()

    def request_stop(self) -> None:
        """Let the run end soon; safe in a signal handler."""
        self._stop.set()

    def run(self) -> LoadReport:
        """Connect all sessions, publish for the duration, wait for what is on its way. Raises OSError."""
        try:
            self._publisher.open(retry=True)
        except StoppedError:
            return self.report
        self._say(f"{len(self._topics):,} sessions are connected")
        self._cpu_before = time.process_time()
        begun = told = self._clock()
        try:
            while (now := self._clock() - begun) < self._duration and not self._stop.is_set():
                due = int(self._pattern.due(now, self._duration, self._rate)) - self.report.sent
                if due > 0:
                    self._send(due)
                self._publisher.pump(STEP_SECONDS)
                self._note(self._clock() - begun)
                if self._clock() - told >= 1.0:
                    told = self._clock()
                    self._say(self.report.sentence())
            self._drain(begun)
        except StoppedError:
            pass
        finally:
            self._note(self._clock() - begun)
            self._publisher.close()
        return self.report

    def _send(self, count: int) -> None:
        first = self.report.sent
        body = orjson.dumps({"ts": time.time_ns() // 1_000_000, "value": first % 1000 / 10})
        messages: list[Message] = [(self._topics[n % len(self._topics)], body) for n in range(first, first + count)]
        self._waiting.append((self._clock(), count))
        self._publisher.send(messages)
        self.report.sent += count

    def _drain(self, begun: float) -> None:
        silent = mark = self._clock()
        while self._publisher.unacknowledged and silent - mark < DRAIN_SECONDS and not self._stop.is_set():
            before = self.report.acknowledged
            self._publisher.pump(STEP_SECONDS)
            self._note(self._clock() - begun)
            silent = self._clock()
            mark = silent if self.report.acknowledged != before else mark

    def _note(self, seconds: float) -> None:
        """Take what was acknowledged since the last look."""
        new = self._publisher.acknowledged - self.report.acknowledged
        self.report.acknowledged += new
        self.report.seconds = seconds
        self.report.cpu_seconds = time.process_time() - self._cpu_before
        now = self._clock()
        while new > 0 and self._waiting:
            sent, count = self._waiting[0]
            taken = min(new, count)
            self.report.latencies += [now - sent] * taken
            new -= taken
            if taken == count:
                self._waiting.popleft()
            else:
                self._waiting[0] = (sent, count - taken)
