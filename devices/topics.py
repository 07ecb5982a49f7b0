"""Receive and route: MQTT topic filters (MQTT 5.0, section 4.7) and templates that name a device or metric."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from common.suggestions import nearest

MAX_TOPIC_BYTES = 65_535
"""Longest topic name or filter that MQTT can carry, in bytes of UTF-8 (MQTT 5.0, 1.5.4)."""


def validate_filter(text: str) -> None:
    """Raise ValueError where `text` is no MQTT topic filter, naming the level and what was expected.

    Source: MQTT 5.0, section 4.7. A shared subscription (`$share/group/filter`, section 4.8.2) is checked as such.
    """
    if not text:
        raise ValueError("topic filter is empty: expected at least one level, such as 'sensors/#'")
    if "\0" in text:
        raise ValueError(f"topic filter {text!r}: holds the character U+0000, which MQTT forbids")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        raise ValueError(f"topic filter {text[:40]!r}...: longer than the {MAX_TOPIC_BYTES} bytes that MQTT can carry")
    levels = text.split("/")
    if levels[0] == "$share":
        if len(levels) < 3 or not levels[1] or "+" in levels[1] or "#" in levels[1] or not "/".join(levels[2:]):
            raise ValueError(f"topic filter {text!r}: expected '$share/GROUP/FILTER' with a group without wildcards")
        levels = levels[2:]
    for i, level in enumerate(levels):
        if "#" in level and (level != "#" or i != len(levels) - 1):
            raise ValueError(f"topic filter {text!r}: level {i} is {level!r}; '#' must be a level alone, the last")
        if "+" in level and level != "+":
            raise ValueError(f"topic filter {text!r}: level {i} is {level!r}; '+' must be a whole level")


def _check_filter(text: str) -> str:
    validate_filter(text)
    return text


TopicFilter = Annotated[str, AfterValidator(_check_filter)]
"""A settings field that holds an MQTT topic filter as written."""


def matches(topic_filter: str, topic: str) -> bool:
    """Whether `topic` matches the valid filter `topic_filter`; a wildcard at the first level matches no `$` topic."""
    wanted = topic_filter.split("/")
    if wanted[0] == "$share":
        wanted = wanted[2:]
    levels = topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(levels) or level not in ("+", levels[i]):
            return False
    return len(wanted) == len(levels)


def covers(wider: str, narrower: str) -> bool:
    """Whether every topic that matches the filter `narrower` also matches the filter `wider`."""
    wide, narrow = wider.split("/"), narrower.split("/")
    if narrow[0].startswith("$") and wide[0] in ("+", "#"):
        return False
    for i, level in enumerate(wide):
        if level == "#":
            return True
        if i >= len(narrow) or narrow[i] == "#" or level not in ("+", narrow[i]):
            return False
    return len(wide) == len(narrow)


class Pattern:
    """A topic pattern: levels that hold `*` for any characters, `+` for a whole level, `**` for one level or more.

    `literals` tells how certain a match is: two for each level without a wildcard, one for each with some literal
    characters, and one for the match itself.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        levels = text.split("/")
        self._expression = re.compile("/".join(map(_level_expression, levels)), re.DOTALL)
        self._guarded = levels[0] in ("+", "*", "**")
        self.literals = 1 + sum(0 if level in ("+", "*", "**") else 1 if "*" in level else 2 for level in levels)

    def matches(self, topic: str) -> bool:
        """Whether `topic` is of this pattern; a wildcard at the first level matches no `$` topic."""
        return not (self._guarded and topic.startswith("$")) and self._expression.fullmatch(topic) is not None


def _level_expression(level: str) -> str:
    if level == "**":
        return ".*"
    if level == "+":
        return "[^/]*"
    return "[^/]*".join(map(re.escape, level.split("*")))


class TopicTooShortError(ValueError):
    """The topic has no level at a place that a template names."""


@dataclass(frozen=True, slots=True)
class _Level:
    index: int


class _Metric:
    """Stands for the reading's metric."""


@dataclass(frozen=True, slots=True)
class _Field:
    """Stands for what the payload says in a field."""

    name: str


@dataclass(frozen=True, slots=True)
class _Property:
    """Stands for what a user property of the message says."""

    name: str


_PLACE = re.compile(r"\{([^{}]*)\}|(\{\{)|(\}\})|([{}])|([^{}]+)")
_TOPIC = re.compile(r"topic(?:\[(?:(-?\d+)|(-?\d*):(-?\d*))\])?")
_NAME = re.compile(r"[A-Za-z_][\w.\-]*(?:\|[A-Za-z_][\w.\-]*)*\??")
_EXPECTED = (
    "expected {topic}, {topic[1]}, {topic[-1]}, {topic[0:-1]}, {metric}, {device} as the payload names it, or a field "
    "of the payload such as {serial}, {serial|sn} for the first that is there, or {channel?} where it may be missing, "
    "or a user property of MQTT 5 such as {property:serial}; write {{ and }} for braces"
)
_PROPERTY = "property:"
DEVICE = "device"
"""The field that stands for the device as the payload names it, in whatever field that is."""


def without_gaps(name: str) -> str:
    """A name of levels without the empty ones, which parts that are missing leave."""
    return "/".join(level for level in name.split("/") if level)


class Template:
    """A name made of literal text, parts of the topic and fields of the payload: `"{topic[1]}"`, `"{model}/{id}"`.

    Levels count from 0, negative from the end, as in Python; a slice is joined with `/`. `{{` and `}}` stand for
    braces. Raises ValueError at construction, naming the position and what was expected there.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts: list[str | _Level | slice | _Metric | _Field | _Property] = []
        if not text:
            raise ValueError(f"template is empty: {_EXPECTED}")
        for match in _PLACE.finditer(text):
            inner, opening, closing, stray, literal = match.groups()
            if stray is not None:
                raise ValueError(f"template {text!r}: character {match.start()}: unpaired {stray!r}; {_EXPECTED}")
            if inner is None:
                self._parts.append(literal or ("{" if opening else "}" if closing else ""))
            else:
                self._parts.append(self._place(inner, match.start()))

    @property
    def shows_metric(self) -> bool:
        """Whether the name tells the reading's metric."""
        return any(isinstance(part, _Metric) for part in self._parts)

    @property
    def shows_topic(self) -> bool:
        """Whether the name holds the whole topic."""
        return slice(None, None) in self._parts

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the payload that the name is made of, in order."""
        return tuple(dict.fromkeys(part.name for part in self._parts if isinstance(part, _Field)))

    @property
    def properties(self) -> tuple[str, ...]:
        """The user properties that the name is made of, in order."""
        return tuple(dict.fromkeys(part.name for part in self._parts if isinstance(part, _Property)))

    def _place(self, inner: str, position: int) -> _Level | slice | _Metric | _Field | _Property:
        if inner == "metric":
            return _Metric()
        if inner.startswith(_PROPERTY) and inner != _PROPERTY:
            return _Property(inner.removeprefix(_PROPERTY))
        found = _TOPIC.fullmatch(inner)
        if found is None and _NAME.fullmatch(inner) and nearest(inner.partition(".")[0], ("topic", "metric")) is None:
            return _Field(inner)
        if found is None:
            raise ValueError(f"template {self.text!r}: character {position}: unknown {{{inner}}}; {_EXPECTED}")
        index, first, last = found.groups()
        if index is not None:
            return _Level(int(index))
        return slice(int(first) if first else None, int(last) if last else None)

    def render(
        self,
        topic_levels: list[str],
        metric: str,
        fields: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> str:
        """The name for a message on the topic of these levels and a reading of `metric`; `fields` of its payload, and
        its user `properties`.

        Raises TopicTooShortError where the topic lacks a level that the template names.
        """
        out: list[str] = []
        for part in self._parts:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, _Metric):
                out.append(metric)
            elif isinstance(part, _Field):
                out.append((fields or {}).get(part.name, ""))
            elif isinstance(part, _Property):
                out.append((properties or {}).get(part.name, ""))
            elif isinstance(part, slice):
                levels = topic_levels[part]
                if not levels:
                    raise TopicTooShortError(
                        self._too_short(topic_levels, f"topic[{_bound(part.start)}:{_bound(part.stop)}]")
                    )
                out.append("/".join(levels))
            else:
                try:
                    out.append(topic_levels[part.index])
                except IndexError:
                    raise TopicTooShortError(self._too_short(topic_levels, f"topic[{part.index}]")) from None
        name = "".join(out)
        return without_gaps(name) if any(field.endswith("?") for field in self.fields) else name

    def _too_short(self, topic_levels: list[str], place: str) -> str:
        topic = "/".join(topic_levels)
        return f"template {self.text!r}: topic {topic!r} has {len(topic_levels)} levels, none at {{{place}}}"

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def _bound(value: int | None) -> str:
    return "" if value is None else str(value)
