"""Route, its settings: routes, and which detectors score which metrics.

Declared once: the configuration file's validation, its JSON Schema, the commented sample and the reference page are all
derived from these models.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from common.durations import Duration
from devices.kinds import Kind
from devices.profile import find_profile
from devices.times import parse_time, parse_zone
from devices.topics import Template, TopicFilter, validate_filter
from ingest.knowledge_settings import KnowledgeSettings

OWN_PROFILES = "own profiles"
"""The key of the validation context under which the names of people's own profiles stand."""


def _check_optional_filter(text: str) -> str:
    if text:
        validate_filter(text)
    return text


def _check_profile(name: str, info: ValidationInfo) -> str:
    # Of people's own profiles, who validates hands the names over.
    own = info.context.get(OWN_PROFILES, ()) if info.context else ()
    if name and name not in own:
        find_profile(name)
    return name


def _check_template(text: str) -> str:
    if text:
        Template(text)
    return text


def _check_time(text: str) -> str:
    parse_time(text)
    return text


RouteFilter = Annotated[str, AfterValidator(_check_optional_filter)]
"""An MQTT topic filter, as written; empty where the route's profile brings one."""

ProfileName = Annotated[str, AfterValidator(_check_profile)]
"""A device profile's name; may be empty."""

TemplateText = Annotated[str, AfterValidator(_check_template)]
"""A name template (`devices.topics.Template`), as written; may be empty."""

Time = Annotated[str, AfterValidator(_check_time)]
"""A point in time in ISO 8601, as written; `devices.times.parse_time` gives its nanoseconds."""


class ComponentSettings(BaseModel):
    """A component chosen by name, with its own parameters beside the name.

    The parameters are checked by the component itself.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="Which one: a name of the reference page.")

    @property
    def parameters(self) -> dict[str, Any]:
        """The component's own parameters."""
        return dict(self.model_extra or {})


class MetricSettings(KnowledgeSettings):
    """What differs for the metrics of a route whose names match."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str = Field(description='Metric names that this applies to; "*" stands for any characters.', min_length=1)
    detectors: list[str] | None = Field(
        default=None, description="Detectors that score these metrics, instead of the route's."
    )
    unit: str = Field(
        default="", description="Unit of the values; values that come in another unit of the quantity are converted."
    )
    kind: Kind | None = Field(
        default=None,
        description="What the metric is, where its name misleads; measurements, counters, states, batteries and "
        "positions are scored.",
    )
    ignore: bool = Field(default=False, description="Drop these metrics: neither stored nor scored, but counted.")


class PropertySettings(BaseModel):
    """What MQTT 5 properties of a message decide, beside `{property:NAME}` in the names of devices and metrics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: str = Field(
        default="", description="The user property that has the unit of values that come without one in the payload."
    )
    time: str = Field(
        default="", description="The user property that has the time of the readings, in place of one in the payload."
    )
    codecs: dict[str, ComponentSettings | str] = Field(
        default={},
        description='The codec by content type, such as { "application/cbor" = "cbor" }; others are read by `codec`.',
    )

    @field_validator("codecs")
    @classmethod
    def _are_content_types(cls, codecs: dict[str, ComponentSettings | str]) -> dict[str, ComponentSettings | str]:
        for name in codecs:
            if "/" not in name or name != name.strip().lower() or ";" in name:
                raise ValueError(f'"{name}": expected a content type in small letters, such as "application/json"')
        return codecs


class RouteSettings(KnowledgeSettings):
    """Which messages, how they are read, whose they are, and what scores them. The first route that matches wins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="Name for messages and counters; the topic filter where empty.")
    profile: ProfileName = Field(
        default="",
        description='Kind of device, such as "tasmota": filter, codec, names and units are its profile\'s where they '
        "are not set here. A route that sets nothing but its filter finds the profile of each topic by itself.",
    )
    filter: RouteFilter = Field(
        default="", description='MQTT topic filter, for example "plant/+/+". Needed where no profile is named.'
    )
    ignore: list[TopicFilter] = Field(
        default=[],
        description="Topic filters of messages that hold no readings: counted as ignored, not decoded. Driftline's own "
        "topics are ignored as well, such as driftline/truth/#, unless the route's filter begins so.",
    )
    qos: Literal[0, 1, 2] = Field(default=1, description="Highest quality of service asked of the broker.")
    codec: ComponentSettings | str = Field(
        default="auto", description='How payloads are read: a codec\'s name, or a table { type = "json", ... }.'
    )
    device: TemplateText = Field(
        default="",
        description='Device name as a template over the topic: "{topic}", "{topic[1]}", "{topic[0:-1]}", and over '
        'fields of the payload: "{model}/{id}", "{device}" for the device that the payload names. That one counts '
        'before a template over the topic alone. "{property:NAME}" is a user property of MQTT 5, which comes first; a '
        "message without it is named as if nothing were set. Empty: the device in the payload, else the whole topic; "
        "for a plain number the topic without its last level.",
    )
    metric: TemplateText = Field(
        default="",
        description='Metric name as a template: "{metric}" is the name in the payload. '
        'Empty: "{metric}"; for a plain number the last level of the topic.',
    )
    time_zone: str = Field(
        default="", description='Zone of times that name none: "+02:00", "Europe/Berlin". Empty: as the codec, UTC.'
    )
    time_format: str = Field(
        default="",
        description='Form of times that are text, as in strftime(3): "%d/%m/%Y %H:%M". Empty: by their looks.',
    )
    properties: PropertySettings | None = Field(
        default=None, description="What MQTT 5 properties of a message decide: its unit, time and codec."
    )
    detectors: list[str] = Field(default=["default"], description="Names of the detectors that score the readings.")
    reorder_window: Duration = Field(
        default="0s",
        description="How long a device's readings wait for earlier ones that are still on the way. "
        "0: each is scored at once, and one behind its series' newest is stored as late.",
    )
    future_skew: Duration = Field(
        default="5m",
        description="How far ahead of its arrival a reading's time may lie; beyond, its arrival counts instead.",
    )
    earliest: Time = Field(
        default="2000-01-02T00:00:00Z",
        description="Times before this are of clocks that were never set: the reading's arrival counts instead.",
    )
    metrics: list[MetricSettings] = Field(default=[], description="Overrides by metric; the first match wins.")

    @property
    def named_properties(self) -> tuple[str, ...]:
        """The user properties that name devices, metrics and units."""
        names = [name for text in (self.device, self.metric) if text for name in Template(text).properties]
        if self.properties is not None and self.properties.unit:
            names.append(self.properties.unit)
        return tuple(dict.fromkeys(names))

    @property
    def asks_properties(self) -> bool:
        """Whether properties of a message decide on its names or its codec."""
        return bool(self.named_properties) or (self.properties is not None and bool(self.properties.codecs))

    @property
    def is_open(self) -> bool:
        """Whether the route leaves it to the messages how they are read."""
        return self.model_fields_set.isdisjoint({"profile", "codec", "device", "metric"})

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value:
            parse_zone(value)
        return value

    @model_validator(mode="after")
    def _has_a_filter(self) -> Self:
        if not self.filter and not self.profile:
            raise ValueError('expected a "filter" or a "profile"')
        for metric in self.metrics:
            try:
                metric.knowledge(self)
            except ValueError as error:
                raise ValueError(f'metrics that match "{metric.match}": {error}') from error
        return self


class LimitSettings(BaseModel):
    """What one misbehaving publisher cannot exceed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_series: int = Field(
        default=1_000_000,
        ge=1,
        description="Most series in all; beyond, readings are rejected. Not set: fewer where memory is small.",
    )
    max_scored_series: int = Field(
        default=1_000_000,
        ge=1,
        description="Most series that detectors score; those beyond are stored unscored. Not set: as many as fit into "
        "the memory of the control group or the machine.",
    )
    max_new_series_an_hour: int = Field(
        default=100_000,
        ge=1,
        description="New series that detectors take up at once within an hour; those beyond are stored unscored until "
        "they have sent 20 readings. Not set: an eighth of max_scored_series.",
    )
    max_series_per_device: int = Field(default=1_000, ge=1, description="Most series of one device.")
    max_payload: int = Field(default=1_048_576, ge=64, description="Largest payload in bytes that is decoded.")


class SnapshotSettings(BaseModel):
    """How often the learned state is saved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Duration = Field(
        default="30s", description="Time between snapshots of detector and alarm state; more means a longer catch-up."
    )


DEFAULT_ROUTES = [RouteSettings(name="everything", filter="#")]
"""What an empty configuration routes: every topic, payloads told apart by their looks."""

DEFAULT_DETECTORS = {"default": ComponentSettings(type="ensemble"), "joint": ComponentSettings(type="joint")}
"""What a configuration may name without a table of its own: what scores each series of an empty configuration, and what
scores a device's metrics together where a route asks for it."""
