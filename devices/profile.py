"""Route, its ready-made routes: what a known kind of device sends, one TOML each in `devices/profiles/`.

A profile says which topics, which codec with which parameters, and how topic and payload name device and metric; its
vectors show it, and drive the decoder's test and the simulator. A new profile is one new file.
"""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.suggestions import unknown
from devices.codec import UNNAMED, Codec
from devices.codecs.codec_registry import create
from devices.topics import Template, matches, validate_filter
from devices.vectors import ExpectedReading, ExpectedRejection, Vector, decode_alone, named_readings

FOLDER = Path(__file__).parent / "profiles"


class ProfileCodec(BaseModel):
    """The codec of a profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(description="Name of the codec.")
    parameters: dict[str, Any] = Field(default={}, description="The codec's parameters.")


class Profile(BaseModel):
    """One kind of device, as it appears on the broker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="The word in the configuration.")
    description: str = Field(min_length=1, description="One sentence: which devices, which firmware.")
    reference: str = Field(min_length=1, description="Where the maker documents the topics and payloads.")
    filter: str = Field(description="MQTT topic filter of the messages that hold readings.")
    ignore: tuple[str, ...] = Field(default=(), description="Filters of messages within `filter` that hold none.")
    device: str = Field(description="Template of the device's name, where the payload names none.")
    metric: str = Field(default="{metric}", description="Template of the metric's name.")
    codec: ProfileCodec
    units: dict[str, str] = Field(default={}, description="Unit by glob of the metric; the first that matches counts.")
    vectors: tuple[Vector, ...] = Field(min_length=2, description="Payloads with their readings, one malformed.")

    @field_validator("filter")
    @classmethod
    def _valid_filter(cls, value: str) -> str:
        validate_filter(value)
        return value

    @field_validator("ignore")
    @classmethod
    def _valid_filters(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            validate_filter(each)
        return value

    @field_validator("device", "metric")
    @classmethod
    def _valid_template(cls, value: str) -> str:
        Template(value)
        return value

    @model_validator(mode="after")
    def _valid_codec(self) -> Profile:
        create(self.codec.type, self.codec.parameters)
        if not any(vector.rejected and not vector.readings for vector in self.vectors):
            raise ValueError(f"profile {self.name!r}: no vector is rejected whole, expected one malformed case")
        return self

    @cached_property
    def _device_template(self) -> Template:
        return Template(self.device)

    @cached_property
    def _metric_template(self) -> Template:
        return Template(self.metric)

    def takes(self, topic: str) -> bool:
        """Whether messages on `topic` hold readings of this kind of device."""
        return matches(self.filter, topic) and not any(matches(each, topic) for each in self.ignore)

    def unit(self, metric: str) -> str:
        """The unit of a metric, empty where the profile states none."""
        return next((unit for glob, unit in self.units.items() if fnmatchcase(metric, glob)), "")

    def new_codec(self) -> Codec:
        """A new codec with the profile's parameters."""
        return create(self.codec.type, self.codec.parameters)

    def decode(self, topic: str, payload: bytes) -> tuple[list[ExpectedReading], list[ExpectedRejection]]:
        """Readings with their full names, and rejections, of one message; for tests, checks and explanations."""
        codec = self.new_codec()
        decoded = decode_alone(codec, payload)
        levels = topic.split("/")
        readings = [
            reading.model_copy(
                update={
                    "device": reading.device or self._device_template.render(levels, reading.metric),
                    "metric": self._metric_template.render(levels, reading.metric or UNNAMED),
                }
            )
            for reading in named_readings(codec, decoded)
        ]
        return readings, [ExpectedRejection(reason=r.reason, detail=r.detail, whole=r.whole) for r in decoded.rejected]


def load_profile(path: Path) -> Profile:
    """The profile of a TOML file. Raises ValueError naming file, place, value and expectation."""
    with path.open("rb") as file:
        try:
            profile = Profile(**tomllib.load(file))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path.name}: {error}") from error
    if profile.name != path.stem:
        raise ValueError(f"{path.name}: name: {profile.name!r}, expected {path.stem!r} like the file")
    return profile


def load_profiles(folder: Path = FOLDER) -> dict[str, Profile]:
    """All profiles of a folder by name, in order of the alphabet."""
    return {path.stem: load_profile(path) for path in sorted(folder.glob("*.toml"))}


def find_profile(name: str, folder: Path = FOLDER) -> Profile:
    """The profile of a name. Raises ValueError naming the nearest and all known names."""
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise ValueError(unknown(name, known, "profile"))
    return load_profile(folder / f"{name}.toml")
