"""Before stage 1 of 7: the settings of a simulated world, declared once."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.durations import Duration
from firmware_sim.plant_export import ExportFormat
from firmware_sim.worlds import WORLDS, find_world


class WorldSettings(BaseModel):
    """Which world is simulated, for how long, with which faults, and where it goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    world: str = Field(..., description=f"One of {', '.join(world.name for world in WORLDS)}")
    seed: int = Field(1, ge=0, description="Seed of every random choice; with an export also of its first day")
    size: int = Field(1, ge=1, le=1000, description="How large the site is: 2 has twice the devices")
    interval: Duration | None = Field(None, description="Time between two readings, in place of the world's own")
    days: int = Field(35, ge=2, le=3660, description="Days of an export")
    learning_days: int = Field(7, ge=0, description="Days from the first on without faults")
    sick: float = Field(0.7, ge=0.0, le=1.0, description="Share of the metrics that get a fault of their own")
    export: Path | None = Field(None, description="Folder to write readings, traffic and truth to")
    format: ExportFormat = Field(ExportFormat.CSV, description="Of the readings exported: csv or parquet")
    prefix: str = Field("plant", min_length=1, pattern="^[^+#\x00]+$", description="First level of every topic")

    @field_validator("world")
    @classmethod
    def _known(cls, name: str) -> str:
        return find_world(name).name
