"""Alarm: the records of alarms, those open and those cleared last, and who is shelved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from alerts.alarm_step import Opening
from devices.records import AlarmRecord, AlarmState

KEPT_CLEARED = 200
"""Alarms cleared last that people can still act on, beside those that somebody has judged."""


class AlarmBook:
    """The newest record of each alarm that can still change; `open` are the open ones by series, one at a time."""

    def __init__(self) -> None:
        self.open: dict[int, AlarmRecord] = {}
        self._cleared: dict[int, AlarmRecord] = {}
        self._shelved: dict[int, int] = {}
        self._next = 1

    def find(self, alarm: int) -> AlarmRecord | None:
        """An alarm by its number; None where there is none, or it was cleared long ago."""
        known = next((record for record in self.open.values() if record.alarm == alarm), None)
        return known or self._cleared.get(alarm)

    def begin(self, series: int, time: int, score: float, severity: str, opening: Opening) -> AlarmRecord:
        """Number and open an alarm."""
        record = AlarmRecord(
            alarm=self._next,
            series=series,
            state=AlarmState.OPEN,
            opened=time,
            cleared=None,
            severity=severity,
            peak_score=score,
            value=opening.value,
            expected=opening.expected,
            reason=opening.reason,
            parts=opening.parts,
            shelved_until=self._shelf(series, time),
        )
        self._next += 1
        self.open[series] = record
        return record

    def put(self, record: AlarmRecord) -> AlarmRecord:
        """Keep what an alarm has become, and return it."""
        if record.state is not AlarmState.CLEARED:
            self.open[record.series] = record
        elif record.alarm in self._cleared:
            self._cleared[record.alarm] = record
        else:
            del self.open[record.series]
            self._keep_cleared(record)
        return record

    def shelve(self, series: int, until: int) -> None:
        """Alarms of the series that open before `until` (event time, ns) are shelved up to then."""
        self._shelved[series] = until

    def unshelve(self, series: int) -> None:
        """Shelve alarms of the series no longer."""
        self._shelved.pop(series, None)

    def forget(self, series: Sequence[int]) -> None:
        """Know nothing more of the alarms of these series."""
        for number in series:
            self.open.pop(number, None)
            self._shelved.pop(number, None)
        gone = set(series)
        self._cleared = {number: record for number, record in self._cleared.items() if record.series not in gone}

    def adopt(self, open_alarms: Sequence[AlarmRecord], next_alarm: int) -> None:
        """Let exactly these be open, and number new ones from `next_alarm`."""
        self.open = {record.series: record for record in open_alarms}
        self._next = next_alarm

    def keep(self, cleared: Iterable[AlarmRecord]) -> None:
        """Keep these cleared alarms too."""
        self._cleared.update({record.alarm: record for record in cleared})

    def state(self) -> dict[str, Any]:
        """The state, as JSON."""
        return {
            "next_alarm": self._next,
            "open_alarms": [alarm_to_json(record) for record in self.open.values()],
            "cleared_alarms": [alarm_to_json(record) for record in self._cleared.values()],
            "shelved": list(self._shelved.items()),
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.adopt([alarm_from_json(each) for each in saved["open_alarms"]], int(saved["next_alarm"]))
        self._cleared = {}
        self.keep(alarm_from_json(each) for each in saved.get("cleared_alarms", ()))
        self._shelved = {int(series): int(until) for series, until in saved.get("shelved", ())}

    def _keep_cleared(self, record: AlarmRecord) -> None:
        self._cleared[record.alarm] = record
        others = [alarm for alarm, kept in self._cleared.items() if not kept.feedback]
        for alarm in others[: max(len(others) - KEPT_CLEARED, 0)]:
            del self._cleared[alarm]

    def _shelf(self, series: int, time: int) -> int | None:
        until = self._shelved.get(series)
        if until is not None and until <= time:
            del self._shelved[series]
            return None
        return until


def cleared(record: AlarmRecord, time: int, reason: str) -> AlarmRecord:
    """The alarm as it is cleared at `time` (ns), or at its opening where that is later."""
    return replace(record, state=AlarmState.CLEARED, cleared=max(record.opened, time), cleared_reason=reason)


def alarm_to_json(record: AlarmRecord) -> dict[str, Any]:
    """A record as JSON holds it."""
    return {name: getattr(record, name) for name in AlarmRecord.__slots__} | {"state": record.state.value}


def alarm_from_json(saved: Mapping[str, Any]) -> AlarmRecord:
    """What `alarm_to_json` gave, once it has been JSON."""
    # JSON has no NaN: where there was no value, or nothing was expected, it says null.
    numbers = {name: math.nan if saved[name] is None else saved[name] for name in ("value", "expected")}
    return AlarmRecord(**{**saved, "state": AlarmState(saved["state"]), **numbers})
