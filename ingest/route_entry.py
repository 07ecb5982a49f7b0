"""Route: one route of the configuration, or one kind of message of a profile, ready to name readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from common.durations import parse_duration
from devices.codec import UNNAMED, Codec
from devices.codec import Role as ValueRole
from devices.codecs import codec_registry as codecs
from devices.codecs.shapes import VALUE_FIELDS
from devices.kinds import Kind, kind_of
from devices.profile import Profile, ProfileMessage, Role
from devices.times import parse_time
from devices.topics import DEVICE, Template
from ingest.ingest_settings import ComponentSettings, MetricSettings, RouteSettings
from ingest.knowledge_settings import KnowledgeSettings

_SEPARATOR = "\x1f"
"""Between the fields of a payload that a device's name is made of."""


UNTELLING = frozenset({UNNAMED, *VALUE_FIELDS})
"""Names of values that say nothing of what is measured."""

NO_OVERRIDE = -1
UNSCORED = -(1 << 20)
"""Added to an override's number for metrics of kinds that are not scored by default."""


class RouteError(ValueError):
    """A route that cannot work; the message names its setting, the value and what was expected."""


class Route:
    """One route, checked, with its templates ready; `codec`, made of `component`, may be shared with other routes.

    `settings` are the configured route's. Where `message` is given, it is the route as it works for those messages of
    the profile: what the route itself does not set is the profile's.
    """

    def __init__(
        self,
        settings: RouteSettings,
        detector_names: Sequence[str],
        codec: Codec,
        component: ComponentSettings,
        *,
        profile: Profile | None = None,
        message: ProfileMessage | None = None,
    ) -> None:
        self.settings = settings
        self.profile = profile
        self.message = message
        self.role = message.role if message is not None else Role.READINGS
        self.name = settings.name or (profile.name if profile is not None else settings.filter)
        self.codec = codec
        self.component = component
        self.device = _template(settings.device or (message.device if message is not None else ""))
        self.metric = _template(settings.metric or (message.metric if message is not None else ""))
        # A profile's template that leaves the metric out names topics of one value: of several, each keeps its name.
        self._holds_many = self.metric is not None and not settings.metric and not self.metric.shows_metric
        self.reorder_window = parse_duration(settings.reorder_window)
        self.future_skew = parse_duration(settings.future_skew)
        self.earliest = parse_time(settings.earliest)
        for names in (settings.detectors, *(m.detectors for m in settings.metrics)):
            for name in names or ():
                if name not in detector_names:
                    raise RouteError(f'route "{self.name}": detector "{name}" is not among {sorted(detector_names)}')

    def names(
        self, levels: list[str], device: str | None, metric: str, properties: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[str, str]:
        """Device and metric name of a reading. `device` is what the payload says, if anything: it comes first.

        User `properties` that the templates name come before that; where one is missing, the template is left.
        """
        if metric == UNNAMED:
            named = levels[-1] if len(levels) > 1 else "value"
            parent = "/".join(levels[:-1]) if len(levels) > 1 else levels[0]
            if not named:
                named = "value"
        else:
            named, parent = metric, "/".join(levels)
        name = self._metric(levels, named, properties)
        if self._holds_many and metric not in UNTELLING:
            name = f"{name}.{metric}"
        return self._device(levels, device, named, parent, properties), name

    def owner(self, levels: list[str], properties: Mapping[str, str] = MappingProxyType({})) -> str:
        """The device that a message is of, as far as its topic and properties tell."""
        try:
            return self.names(levels, None, "value", properties)[0]
        except ValueError:
            return "/".join(levels)

    def _device(
        self, levels: list[str], said: str | None, metric: str, parent: str, properties: Mapping[str, str]
    ) -> str:
        template = self.device
        if template is None or not all(name in properties for name in template.properties):
            return parent if said is None else said
        if not template.fields:
            comes_first = said is None or template.properties
            return template.render(levels, metric, None, properties) if comes_first else str(said)
        if said is None:
            return parent
        fields = [name for name in template.fields if name != DEVICE]
        values = dict(zip(fields, said.split(_SEPARATOR), strict=False)) if fields else {}
        if template.shows_topic and values and all(value in levels for value in values.values()):
            return parent  # The topic says it already.
        return template.render(levels, metric, {DEVICE: said.rpartition(_SEPARATOR)[2], **values}, properties)

    def _metric(self, levels: list[str], named: str, properties: Mapping[str, str]) -> str:
        template = self.metric
        if template is None or not all(name in properties for name in template.properties):
            return named
        return template.render(levels, named, None, properties)

    def override_of(self, metric: str, *, scored: bool = True) -> int:
        """What the settings decide for a metric: the number of the first override whose pattern matches its name, -1
        where none does; moved below `UNSCORED` for a metric that is not `scored` unless an override says so.
        """
        matching = (number for number, m in enumerate(self.settings.metrics) if fnmatchcase(metric, m.match))
        number = next(matching, NO_OVERRIDE)
        return number if scored else number + UNSCORED

    def override_at(self, number: int) -> MetricSettings | None:
        """The override of a number that `override_of` gave."""
        number = number - UNSCORED if number < NO_OVERRIDE else number
        return None if number == NO_OVERRIDE else self.settings.metrics[number]

    def detectors_at(self, number: int) -> list[str]:
        """Names of the detectors that score the metrics of an override."""
        override = self.override_at(number)
        if override is not None and override.detectors is not None:
            return override.detectors
        return [] if number < NO_OVERRIDE else self.settings.detectors

    def kinds_at(self, topic: str) -> list[int]:
        """The messages of the route's profile that may come on a topic (`Profile.kinds_at`); none without a profile."""
        return self.profile.kinds_at(topic) if self.profile is not None else []

    @property
    def knows(self) -> bool:
        """Whether the settings say anything of the series beside their detectors."""
        return self.settings.says_something or any(metric.says_something for metric in self.settings.metrics)

    @property
    def warns(self) -> bool:
        """Whether the settings ask for a warning ahead of a limit."""
        return any(each.warn_ahead for each in (self.settings, *self.settings.metrics))

    def facts_at(self, number: int) -> KnowledgeSettings:
        """What the settings say of the metrics of an override; what that leaves out is the route's."""
        override = self.override_at(number)
        return self.settings if override is None else override.over(self.settings)

    def usual_unit(self, metric: str) -> str:
        """The unit that a metric of the route's profile has where nothing else tells it."""
        return self.profile.unit(metric) if self.profile is not None else ""

    def kind(self, metric: str, unit: str, role: ValueRole = ValueRole.VALUE) -> Kind:
        """What the metric is: by the route, its profile, its name and unit, and what its values are."""
        override = self.override_at(self.override_of(metric))
        if override is not None and override.kind is not None:
            return override.kind
        if role == ValueRole.TEXT:
            return Kind.TEXT
        by_profile = self.profile.kind(metric) if self.profile is not None else None
        return by_profile or kind_of(metric, unit, truth=role == ValueRole.TRUTH)


def component_of(
    settings: RouteSettings, message: ProfileMessage | None, asked: ComponentSettings | str | None = None
) -> ComponentSettings:
    """The codec of a route for a kind of message, with all parameters that bear on it; `asked` is the one that the
    content type of the message chooses, if any. Raises ValueError.
    """
    chosen = settings.codec if asked is None else asked
    if (
        asked is None
        and message is not None
        and (message.role != Role.READINGS or "codec" not in settings.model_fields_set)
    ):
        chosen = ComponentSettings(type=message.codec.type, **message.codec.parameters)
    if not isinstance(chosen, ComponentSettings):
        chosen = ComponentSettings(type=chosen)
    known = codecs.find(chosen.type).Parameters.model_fields
    parameters: dict[str, Any] = dict(chosen.parameters)
    for name in ("time_zone", "time_format"):
        value = getattr(settings, name)
        if value and name in known:
            parameters[name] = value
    device = settings.device or (message.device if message is not None else "")
    fields = [name for name in Template(device).fields if name != DEVICE] if device else []
    if fields:
        if "device" not in known:
            raise RouteError(f'device: "{device}" names fields, which codec "{chosen.type}" does not have')
        parameters["device"] = fields[0] if len(fields) == 1 else _SEPARATOR.join(f"{{{name}}}" for name in fields)
    return ComponentSettings(type=chosen.type, **parameters)


def _template(text: str) -> Template | None:
    return Template(text) if text else None
