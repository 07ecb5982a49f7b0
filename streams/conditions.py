"""Streams: of which devices the condition of a stream holds, and what begins and ends with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from alerts.alarm_step import Opening
from alerts.stream_alarms import ConditionChange
from common.durations import parse_duration
from common.time_units import SECOND
from storage.store import StreamResult
from streams.definitions import Definition
from streams.stream_settings import PLACE, STREAM_NAME, WINDOW_PLACES

_LONGEST_SENTENCE, _LONGEST_DEVICE = 500, 200

Moment = tuple[int, int, ConditionChange]
"""The arrival that a change comes with, the number of its stream, and the change."""


@dataclass(slots=True)
class Condition:
    """The condition of one stream, number `number` of them.

    It holds for a device from the end of the window that has a row of it which meets the condition, and until
    `clear_after` has passed since the end of the last such window, by event time.
    """

    number: int
    definition: Definition
    until: dict[str, int] = field(default_factory=dict)
    """Devices that it holds for, each with the event time (ns) at which that is over."""

    @property
    def hold(self) -> int:
        """Nanoseconds for which it holds after a window."""
        alarm, window = self.definition.settings.alarm, self.definition.settings.window
        return parse_duration(alarm.clear_after) if alarm and alarm.clear_after else window.hop_ns

    @property
    def next_end(self) -> int | None:
        """The watermark at which it is over for the next device; None where it holds for none."""
        return min(self.until.values(), default=None)

    def end(self, watermark: int, moment_of: Callable[[int], int]) -> list[Moment]:
        """What is over by a watermark, in order; `moment_of` gives the arrival at which a watermark was reached."""
        over = sorted((until, device) for device, until in self.until.items() if until <= watermark)
        for _, device in over:
            del self.until[device]
        name = self.definition.name
        return [(moment_of(until), self.number, ConditionChange(name, device, until)) for until, device in over]

    def take(self, result: StreamResult, holds: Sequence[bool], moment: int) -> list[Moment]:
        """Take note of a window's result, whose rows meet the condition where `holds`; what begins."""
        names = [name for name, _ in result.columns]
        begun = []
        for row, met in zip(result.rows, holds, strict=True):
            if not met:
                continue
            change = self._change(result, dict(zip(names, row, strict=True)))
            if change.device not in self.until:
                begun.append((moment, self.number, change))
            self.until[change.device] = result.window_end + self.hold
        return begun

    def _change(self, result: StreamResult, values: Mapping[str, Any]) -> ConditionChange:
        settings = self.definition.settings
        alarm = settings.alarm
        assert alarm is not None, "a stream with a condition says what its alarm is"
        about = {**values, STREAM_NAME: result.stream}
        about |= {
            name: _spoken_time(time)
            for name, time in zip(WINDOW_PLACES, (result.window_start, result.window_end), strict=True)
        }
        device = _filled(alarm.device or ("{device}" if "device" in values else f"{{{STREAM_NAME}}}"), about)
        sentence = _filled(alarm.sentence, about) if alarm.sentence else _default_sentence(alarm.when, values)
        value = values.get(alarm.value)
        number = float(value) if isinstance(value, int | float) else math.nan
        return ConditionChange(
            stream=result.stream,
            device=device.strip()[:_LONGEST_DEVICE] or result.stream,
            time=result.window_end,
            severity=alarm.severity,
            opening=Opening(number, math.nan, sentence[:_LONGEST_SENTENCE], {}),
        )


def _filled(template: str, values: Mapping[str, Any]) -> str:
    return PLACE.sub(lambda found: _spoken(values.get(found[1])), template)


def _spoken(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _spoken_time(time: int) -> str:
    return f"{datetime.fromtimestamp(time // SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _default_sentence(when: str, values: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name} {_spoken(value)}" for name, value in values.items() if value is not None)
    return f"{' '.join(when.split())}: {told}"


class Conditions:
    """The conditions of all streams, and what has changed of them that no alarm says yet."""

    def __init__(self, definitions: Sequence[Definition]) -> None:
        self._of = {
            each.name: Condition(number, each) for number, each in enumerate(definitions) if each.settings.alarm
        }
        self._changes: list[Moment] = []

    def __bool__(self) -> bool:
        return bool(self._of)

    def of(self, stream: str) -> Condition | None:
        """The condition of a stream; None where it has none."""
        return self._of.get(stream)

    def note(self, changes: Iterable[Moment]) -> None:
        """Keep what has changed until it is asked for."""
        self._changes += changes

    def changed(self, moment: int) -> list[ConditionChange]:
        """What came with another second of arrival than that of `moment`, in order; once."""
        due = [each for each in self._changes if each[0] // SECOND != moment // SECOND]
        self._changes = [each for each in self._changes if each[0] // SECOND == moment // SECOND]
        return [change for _, _, change in sorted(due, key=lambda each: each[:2])]

    def followed(self) -> list[tuple[str, str]]:
        """Streams and devices for which a condition holds, or whose change nobody has asked for."""
        holding = [(name, device) for name, each in self._of.items() for device in each.until]
        return holding + [(change.stream, change.device) for _, _, change in self._changes]

    @property
    def due(self) -> int | None:
        """The arrival before which what has changed is not due; None where nothing has."""
        return min(((moment // SECOND + 1) * SECOND for moment, _, _ in self._changes), default=None)

    def state(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "until": {name: each.until for name, each in self._of.items()},
            "changes": [[moment, number, _saved(change)] for moment, number, change in self._changes],
        }

    def load(self, saved: Mapping[str, Any], streams: Iterable[str]) -> None:
        """Take over what `state` returned of these streams."""
        kept = set(streams)
        for name, each in self._of.items():
            if name in kept:
                each.until = {device: int(until) for device, until in saved["until"].get(name, {}).items()}
        self._changes = [
            (int(moment), self._of[change["stream"]].number, _loaded(change))
            for moment, _, change in saved["changes"]
            if change["stream"] in kept and change["stream"] in self._of
        ]


def _saved(change: ConditionChange) -> dict[str, Any]:
    saved: dict[str, Any] = {
        "stream": change.stream,
        "device": change.device,
        "time": change.time,
        "severity": change.severity,
    }
    if change.opening is not None:
        value = None if math.isnan(change.opening.value) else change.opening.value
        saved |= {"value": value, "reason": change.opening.reason}
    return saved


def _loaded(saved: Mapping[str, Any]) -> ConditionChange:
    change = ConditionChange(saved["stream"], saved["device"], int(saved["time"]), saved["severity"])
    if "reason" not in saved:
        return change
    value = math.nan if saved["value"] is None else float(saved["value"])
    return replace(change, opening=Opening(value, math.nan, saved["reason"], {}))
