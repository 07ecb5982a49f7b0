"""The settings of a simulated world, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.durations import Duration, parse_duration
from firmware_sim.payload_styles import STYLES, find_style
from firmware_sim.plant_export import ExportFormat
from firmware_sim.publisher import BrokerAddress
from firmware_sim.worlds import WORLDS, find_world


class WorldSettings(BaseModel):
    """Which world is simulated, for how long, with which faults, and where it goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    world: str = Field(..., description=f"One of {', '.join(world.name for world in WORLDS)}")
    url: str = Field("mqtt://127.0.0.1:1883", description="Broker: mqtt://[user:password@]host:port")
    qos: int = Field(1, ge=0, le=1, description="MQTT quality of service of the readings")
    payload: str = Field("json", description=f"How devices write: {', '.join(style.name for style in STYLES)}")
    duty_cycle: bool = Field(True, description="Let devices on batteries connect only when they have something to say")
    history: Duration = Field("0s", description="How far back the world begins; what lies behind is sent first")
    speed: float = Field(
        1.0, ge=1.0, le=1000.0, description="Over 1: tell the history this many times as fast, then go on live"
    )
    duration: Duration | None = Field(None, description="Stop after this long; else run on")
    faults: Literal["auto", "none"] = Field("auto", description="auto: at random; none")
    labels: Path | None = Field(None, description="CSV file that the label of each fault is added to as it begins")
    seed: int = Field(1, ge=0, description="Seed of every random choice; with an export also of its first day")
    size: int = Field(1, ge=1, le=1000, description="How large the site is: 2 has twice the devices")
    interval: Duration | None = Field(None, description="Time between two readings, in place of the world's own")
    days: int = Field(35, ge=2, le=3660, description="Days of an export")
    learning_days: float = Field(7, ge=0, description="Days from the first on without faults, half of all at most")
    sick: float = Field(0.7, ge=0.0, le=1.0, description="Share of the metrics that get a fault of their own")
    export: Path | None = Field(None, description="Folder to write readings, traffic and truth to")
    format: ExportFormat = Field(ExportFormat.CSV, description="Of the readings exported: csv or parquet")
    prefix: str = Field("plant", min_length=1, pattern="^[^+#\x00]+$", description="First level of every topic")

    @field_validator("payload")
    @classmethod
    def _known_style(cls, name: str) -> str:
        return find_style(name).name

    @field_validator("url")
    @classmethod
    def _readable(cls, url: str) -> str:
        BrokerAddress.parse(url)
        return url

    @model_validator(mode="after")
    def _has_a_history(self) -> WorldSettings:
        if self.speed > 1 and parse_duration(self.history) == 0:
            raise ValueError(f"speed {self.speed:g}: expected a history to tell at that speed, such as 1d")
        return self

    @field_validator("world")
    @classmethod
    def _known(cls, name: str) -> str:
        return find_world(name).name
