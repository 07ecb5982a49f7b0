"""Functions: which events one engine step means for every function. A pure function of state and step."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from devices.records import AlarmRecord, AlarmState
from functions.event_contents import alarm_content, device_content, reading_content, row_contents
from functions.function_settings import FunctionSettings, TriggerSettings
from ingest.silence import DEVICE_METRIC
from ingest.step_facts import StepFacts
from storage.store import FunctionEvent, StreamResult
from streams.sources import DeviceRows, TopicMatch, alarm_changes

_STATE_VERSION = 1
_NO_INTEREST = TriggerSettings()


@dataclass(slots=True)
class _Function:
    name: str
    trigger: TriggerSettings
    topics: TopicMatch


class FunctionTriggers:
    """All functions that the journal calls. See `ingest.step_facts.FunctionStage`."""

    def __init__(self, triggers: Sequence[tuple[str, TriggerSettings]]) -> None:
        self._settings = [{"name": name, "trigger": trigger.model_dump(mode="json")} for name, trigger in triggers]
        self._functions = [_Function(name, trigger, TopicMatch(trigger.topics)) for name, trigger in triggers]
        self._devices = DeviceRows()
        self._alarms: dict[int, tuple[str, str]] = {}

    @property
    def settings(self) -> list[dict[str, Any]]:
        """What was declared of triggers, as JSON."""
        return self._settings

    def step(self, facts: StepFacts, results: Sequence[StreamResult]) -> list[FunctionEvent]:
        """The events of one step, in order."""
        alarms, devices = self._changed_alarms(facts), self._changed_devices(facts)
        events: list[FunctionEvent] = []
        for function in self._functions:
            kind = function.trigger.type
            if kind == "alarm":
                events += _of_alarms(function, alarms, facts)
            elif kind == "device":
                events += _of_devices(function, devices, facts)
            elif kind == "stream":
                events += _of_rows(function, results, facts)
            elif kind == "readings":
                events += _of_readings(function, facts)
        return events

    def _changed_alarms(self, facts: StepFacts) -> list[tuple[AlarmRecord, int, int]]:
        """Alarms whose state or severity is another, the time of the change, and the arrival that brought it."""
        changed = []
        changes, times, moments = alarm_changes(facts)
        for alarm, time, moment in zip(changes, times.tolist(), moments.tolist(), strict=True):
            stands = (alarm.state.value, alarm.severity)
            if self._alarms.get(alarm.alarm) == stands:
                continue
            self._alarms[alarm.alarm] = stands
            if alarm.state is AlarmState.CLEARED:
                del self._alarms[alarm.alarm]
            changed.append((alarm, time, moment))
        return changed

    def _changed_devices(self, facts: StepFacts) -> list[tuple[str, str, int]]:
        """Devices with what has changed, and when, which is an arrival."""
        rows = self._devices.rows(facts)
        columns = (rows.columns["device"].tolist(), rows.columns["change"].tolist(), rows.time.tolist())
        changed = list(zip(*columns, strict=True))
        for alarm in facts.followed.alarms.records:
            series = facts.registry.records[alarm.series]
            if series.metric == DEVICE_METRIC and alarm.state is not AlarmState.ACKNOWLEDGED:
                ended = alarm.cleared is not None
                changed.append((series.device, "heard" if ended else "silent", alarm.cleared or alarm.opened))
        return changed

    def state(self) -> dict[str, Any]:
        """The state, as JSON."""
        heard = None if self._devices.heard is None else sorted(self._devices.heard)
        alarms = [[alarm, *stands] for alarm, stands in self._alarms.items()]
        return {"version": _STATE_VERSION, "devices": heard, "alarms": alarms}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over a saved state; one of another version is left."""
        if saved.get("version") != _STATE_VERSION:
            return
        if (heard := saved["devices"]) is not None:
            self._devices.heard = set(heard)
        self._alarms = {alarm: (state, severity) for alarm, state, severity in saved["alarms"]}


def triggers_of(
    functions: Sequence[FunctionSettings], targets: Iterable[tuple[str, str]] = ()
) -> FunctionTriggers | None:
    """What the journal calls of these functions; None where that is nothing. `targets`: see `with_stream_targets`."""
    wanted = [
        (each.name, each.trigger)
        for each in with_stream_targets(functions, targets)
        if each.trigger.type not in ("http", "schedule")
    ]
    return FunctionTriggers(wanted) if wanted else None


def with_stream_targets(
    functions: Sequence[FunctionSettings], targets: Iterable[tuple[str, str]]
) -> list[FunctionSettings]:
    """The functions, those that streams name as a target called for their rows; `targets` are streams and functions.

    A function that has another trigger keeps that one.
    """
    streams = {function: stream for stream, function in targets}
    return [
        each.model_copy(update={"trigger": TriggerSettings(type="stream", stream=streams[each.name])})
        if each.name in streams and each.trigger == _NO_INTEREST
        else each
        for each in functions
    ]


def _of_alarms(
    function: _Function, alarms: Sequence[tuple[AlarmRecord, int, int]], facts: StepFacts
) -> Iterable[FunctionEvent]:
    trigger, met = function.trigger, Counter[str]()
    for alarm, time, moment in alarms:
        series = facts.registry.record_at(alarm.series, moment)
        key = _nth(met, f"alarm-{alarm.alarm}-{alarm.state.value}-{alarm.severity}-{moment}")
        wanted = alarm.state.value in trigger.states and alarm.severity in trigger.severities
        if wanted and _is_for(trigger, series.device):
            yield _event(function, facts, key, moment, alarm_content(alarm, series, time))


def _of_devices(
    function: _Function, devices: Sequence[tuple[str, str, int]], facts: StepFacts
) -> Iterable[FunctionEvent]:
    met = Counter[str]()
    for device, change, time in devices:
        if change in function.trigger.changes and _is_for(function.trigger, device):
            key = _nth(met, f"device-{device}-{change}-{time}")
            yield _event(function, facts, key, time, device_content(device, change, time))


def _of_rows(function: _Function, results: Sequence[StreamResult], facts: StepFacts) -> Iterable[FunctionEvent]:
    chunk = facts.entry.chunk
    for result in results:
        if result.stream == function.trigger.stream:
            moment = int(chunk.arrival[result.journal_offset - facts.entry.offset]) if len(chunk) else chunk.ticked_at
            for row in row_contents(result):
                yield _event(function, facts, row["id"], moment, row, result.key)


def _of_readings(function: _Function, facts: StepFacts) -> Iterable[FunctionEvent]:
    """A row for each message, device and time, in the order of the messages."""
    chunk, readings, registry = facts.chunk, facts.readings, facts.registry
    if not len(chunk):
        return
    topics = facts.topics
    wanted = function.topics.mask(topics, facts.router)
    if not wanted.any():
        return
    rows: dict[tuple[int, int, int], dict[str, Any]] = {}
    columns: list[tuple[NDArray[Any], ...]] = [(readings.series, readings.time, readings.message, readings.value)]
    columns += [(each.series, each.time, each.message, each.text) for each in readings.texts]
    device_of = registry.device_of()
    for series, time, message, value in columns:
        chosen = np.flatnonzero(wanted[message])
        picked = (series[chosen], time[chosen], message[chosen], value[chosen])
        for one, at, number, said in zip(*(column.tolist() for column in picked), strict=True):
            fields = rows.setdefault((number, int(device_of[one]), at), {})
            fields[str(registry.records[one].metric)] = said
    for (number, device, at), fields in sorted(rows.items(), key=lambda row: row[0]):
        name = registry.device_names[device]
        topic = "/".join(facts.router.levels(int(topics[number])))
        arrival = int(chunk.arrival[number])
        content = reading_content(name, topic, at, arrival, fields)
        yield _event(function, facts, f"reading-{arrival}-{name}-{at}", arrival, content, name)


def _event(
    function: _Function, facts: StepFacts, key: str, moment: int, content: Mapping[str, Any], lane: str = ""
) -> FunctionEvent:
    """An event; `moment` is the arrival, ns, of the message or tick that brings it."""
    position = facts.entry.position
    return FunctionEvent(
        function=function.name,
        key=key,
        shard=zlib.crc32(lane.encode()) % function.trigger.shards,
        position=position,
        time=moment,
        trigger={"type": function.trigger.type, "position": position},
        content=orjson.dumps(content),
    )


def _nth(met: Counter[str], key: str) -> str:
    """The key, with a number of its own where the same one message brings it again."""
    met[key] += 1
    return key if met[key] == 1 else f"{key}-{met[key]}"


def _is_for(trigger: TriggerSettings, device: str) -> bool:
    return any(fnmatchcase(device, pattern) for pattern in trigger.devices)
