"""Registry, its settings: rules that give a device its labels when it first appears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from devices.device_actions import LabelName
from devices.topics import DEVICE, Template, TopicFilter, TopicTooShortError, matches

_LONGEST_VALUE = 200


class LabelSettings(BaseModel):
    """One rule: the label of a name, its value made of the topic that a device first sends on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: LabelName = Field(description='The label, such as "site" or "owner".')
    filter: TopicFilter = Field(default="#", description="Topics that it is for.")
    value: str = Field(
        default="{device}",
        min_length=1,
        description='Its value: text with {topic[1]}, {topic[0:2]} or {device}, such as "{topic[0]}".',
    )
    table: dict[str, str] = Field(
        default={},
        description='Where given, the label is what stands here beside the value; "*" stands for any characters. '
        "A value that is not in it gives no label.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        others = [name for name in Template(self.value).fields if name != DEVICE]
        if others:
            raise ValueError(f'value: got "{self.value}", expected parts of the topic and {{device}} alone')
        return self

    def value_for(self, device: str, levels: Sequence[str]) -> str:
        """The label's value for a device that appears on a topic of these levels; empty where it has none."""
        if not matches(self.filter, "/".join(levels)):
            return ""
        try:
            value = Template(self.value).render(list(levels), "", {DEVICE: device})
        except TopicTooShortError:
            return ""
        if self.table:
            value = next((to for pattern, to in self.table.items() if fnmatchcase(value, pattern)), "")
        return value[:_LONGEST_VALUE]


def rules_of(rules: Sequence[LabelSettings]) -> Callable[[str, Sequence[str]], dict[str, str]]:
    """What gives a device its labels: of several rules of one name the first that gives a value."""

    def labels_of(device: str, levels: Sequence[str]) -> dict[str, str]:
        labels: dict[str, str] = {}
        for rule in rules:
            if rule.name not in labels and (value := rule.value_for(device, levels)):
                labels[rule.name] = value
        return labels

    return labels_of
