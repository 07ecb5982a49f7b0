"""Route, its ready-made routes: what a known kind of device sends, one TOML each in `devices/profiles/`.

A profile says which topics hold readings, which tell whether the device is there, which are commands, logs and
descriptions; with which codec the readings are read, and how topic and payload name device and metric. Its vectors show
it, and drive the router's test and the simulator. A new profile is one new file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.suggestions import unknown
from devices.codecs.codec_registry import create
from devices.kinds import Kind
from devices.rejection_reasons import Reason
from devices.topics import Pattern, Template, validate_filter
from devices.vectors import Vector

_Told = TypeVar("_Told")

FOLDER = Path(__file__).parent / "profiles"

COMMON = "common"
"""The profile of what many families have in common."""


class Role(StrEnum):
    """What the messages of a topic are."""

    READINGS = "readings"
    AVAILABILITY = "availability"
    COMMAND = "command"
    METADATA = "metadata"
    LOG = "log"
    COPY = "copy"

    @property
    def outcome(self) -> Reason | None:
        """As what a message is counted that is not decoded; None where it is."""
        return None if self in (Role.READINGS, Role.AVAILABILITY) else Reason(self.value)


class ProfileCodec(BaseModel):
    """The codec of a profile's messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(description="Name of the codec.")
    parameters: dict[str, Any] = Field(default={}, description="The codec's parameters.")

    @model_validator(mode="after")
    def _valid(self) -> ProfileCodec:
        create(self.type, self.parameters)
        return self


class ProfileMessage(BaseModel):
    """Messages of one shape."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: tuple[str, ...] = Field(
        min_length=1, description="Topic patterns: levels with + and * as wildcards, ** for one level or more."
    )
    payload: str = Field(
        default="",
        description="Regular expression found in the payload of such a message, where topics alone are not certain.",
    )
    role: Role = Field(default=Role.READINGS, description="What the messages are.")
    device: str = Field(default="{topic}", description="Template of the device's name, where the payload names none.")
    metric: str = Field(default="", description="Template of the metric's name; empty: as for any route.")
    calls: str = Field(default="", description="Dotted path of the field of JSON that says what the device is called.")
    codec: ProfileCodec = Field(default=ProfileCodec(type="auto"), description="How readings are read.")
    describes: Literal[
        "", "homie", "homie5", "homeassistant", "statestream", "wirenboard", "zigbee2mqtt", "simatic"
    ] = Field(default="", description="The form in which metadata tells units and names; empty: it is counted alone.")

    @field_validator("device", "metric")
    @classmethod
    def _valid_template(cls, value: str) -> str:
        if value:
            Template(value)
        return value

    @field_validator("payload")
    @classmethod
    def _valid_expression(cls, value: str) -> str:
        re.compile(value)
        return value

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """The topic patterns, ready to match."""
        return tuple(map(Pattern, self.topics))

    @cached_property
    def _expression(self) -> re.Pattern[bytes] | None:
        return re.compile(self.payload.encode(), re.DOTALL) if self.payload else None

    def certainty(self, topic: str, payload: bytes | None = None) -> int:
        """How surely a message is one of these: 0 where it is none. Without `payload` only the topic is looked at."""
        sure = max((pattern.literals for pattern in self.patterns if pattern.matches(topic)), default=0)
        if sure and payload is not None and self._expression is not None:
            return sure + 1 if self._expression.search(payload[:65_536]) else 0
        return sure


class Profile(BaseModel):
    """One kind of device, as it appears on the broker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="The word in the configuration.")
    title: str = Field(default="", description="The kind's proper name; the word where empty.")
    description: str = Field(min_length=1, description="One sentence: which devices, which firmware.")
    reference: str = Field(min_length=1, description="Where the maker documents the topics and payloads.")
    notes: str = Field(default="", description="What is to be set on the device, or known about it.")
    subscribe: tuple[str, ...] = Field(min_length=1, description="MQTT topic filters of all its messages.")
    messages: tuple[ProfileMessage, ...] = Field(min_length=1, description="Its messages; the first that fits counts.")
    units: dict[str, str] = Field(default={}, description="Unit by glob of the metric; the first that matches counts.")
    kinds: dict[str, Kind] = Field(default={}, description="Kind by glob of the metric, where its name misleads.")
    vectors: tuple[Vector, ...] = Field(min_length=2, description="Payloads with what comes of them, one malformed.")

    @field_validator("subscribe")
    @classmethod
    def _valid_filters(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            validate_filter(each)
        return value

    @model_validator(mode="after")
    def _valid_vectors(self) -> Profile:
        if not any(vector.rejected and not vector.readings for vector in self.vectors):
            raise ValueError(f"profile {self.name!r}: no vector is rejected whole, expected one malformed case")
        return self

    def kinds_at(self, topic: str) -> list[int]:
        """The messages that may come on a topic, in order, where they are of several roles: each payload tells which.

        Of one role, the first payload of the topic decides for all.
        """
        found = []
        for number, message in enumerate(self.messages):
            if message.certainty(topic):
                found.append(number)
                if not message.payload:
                    break
        return found if len({self.messages[number].role for number in found}) > 1 else found[:1]

    def unit(self, metric: str) -> str:
        """The unit of a metric, empty where the profile states none."""
        return _by_glob(self.units, metric) or ""

    def kind(self, metric: str) -> Kind | None:
        """The kind of a metric, None where the profile leaves it to the name."""
        return _by_glob(self.kinds, metric)


def _by_glob(table: Mapping[str, _Told], metric: str) -> _Told | None:
    """What the first glob that matches a metric says; a member of a list (`Power.1`) is as the whole of it."""
    found = next((told for glob, told in table.items() if fnmatchcase(metric, glob)), None)
    whole, _, place = metric.rpartition(".")
    return _by_glob(table, whole) if found is None and whole and place.isdecimal() else found


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


@lru_cache(maxsize=8)
def load_profiles(folder: Path = FOLDER) -> dict[str, Profile]:
    """All profiles of a folder by name, in order of the alphabet."""
    return {path.stem: load_profile(path) for path in sorted(folder.glob("*.toml"))}


def find_profile(name: str, folder: Path = FOLDER) -> Profile:
    """The profile of a name. Raises ValueError naming the nearest and all known names."""
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise ValueError(unknown(name, known, "profile"))
    return load_profiles(folder)[name]
