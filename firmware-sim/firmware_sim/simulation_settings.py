"""The settings of the simulator, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.durations import Duration, parse_duration
from firmware_sim.publisher import BrokerAddress


class SimulatorSettings(BaseModel):
    """What the fleet is, how it publishes, and what goes wrong in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field("mqtt://127.0.0.1:1883", description="Broker: mqtt://[user:password@]host:port, mqtts:// for TLS")
    qos: int = Field(1, ge=0, le=2, description="MQTT quality of service of every message")
    connections: Literal["one", "each"] = Field(
        "one", description="one: all devices share a connection; each: every device has its own"
    )
    in_flight: int = Field(
        500, ge=1, le=60_000, description="Messages on their way without an acknowledgement, at most"
    )
    prefix: str = Field("plant", min_length=1, pattern="^[^+#\x00]+$", description="First level of every topic")
    devices: int = Field(50, ge=1, le=100_000, description="Size of the fleet")
    interval: Duration = Field("1s", description="Time between two readings of a device")
    history: Duration = Field("0s", description="How far back each device's backlog goes, sent first")
    speed: float = Field(
        1.0, ge=1.0, le=100_000.0, description="Over 1: tell the history this many times as fast, then go on live"
    )
    day: Duration = Field("24h", description="Length of the daily cycle; shorter shows seasons sooner")
    duration: Duration | None = Field(None, description="Stop after this long in the live phase; else run on")
    seed: int = Field(1, ge=0, description="Seed of every random choice")
    faults: str = Field("auto", description="auto (random), none, or a CSV file: device, metric, kind, start, end")
    fault_every: Duration = Field("45s", description="Average time between two random faults over the whole fleet")
    malformed: float = Field(0.0, ge=0.0, le=1.0, description="Share of messages that are broken on purpose")
    labels: Path | None = Field(None, description="CSV file that the label of each fault is added to")
    state: Path | None = Field(None, description="Folder that remembers where each device stood, to go on from there")

    @model_validator(mode="after")
    def _check(self) -> SimulatorSettings:
        BrokerAddress.parse(self.url)
        if self.interval_ns < 10_000_000:
            raise ValueError(f"interval {self.interval}: expected at least 10ms")
        if parse_duration(self.day) < 10 * self.interval_ns:
            raise ValueError(f"day {self.day}: expected at least ten intervals of {self.interval}")
        if parse_duration(self.fault_every) < 1_000_000_000:
            raise ValueError(f"fault_every {self.fault_every}: expected at least 1s")
        if self.speed > 1 and self.history_ns == 0:
            raise ValueError(f"speed {self.speed:g}: expected a history to tell at that speed, such as 1h")
        return self

    @property
    def interval_ns(self) -> int:
        """Time between two readings, ns."""
        return parse_duration(self.interval)

    @property
    def history_ns(self) -> int:
        """Length of the backlog, ns."""
        return parse_duration(self.history)
