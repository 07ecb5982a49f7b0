"""What people do with alarms, as the engine takes it from the journal."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from alerts.actions import (
    Acknowledge,
    Action,
    ActionError,
    Clear,
    Comment,
    DoNotLearn,
    Feedback,
    Shelve,
    Unshelve,
    decode,
    encode,
)
from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from devices.records import AlarmState
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
NOON = START + 43_200 * SECOND
LIMITS = {"default": ComponentSettings(type="threshold", upper=50.0)}


class Plant:
    """One sensor, a reading a second, and people."""

    def __init__(self, detectors: dict[str, ComponentSettings] | None = None) -> None:
        self.detectors = detectors or LIMITS
        self.engine = self.fresh()
        self.second = 0
        self.offset = 0

    def fresh(self) -> Engine:
        alarm = AlarmSettings(threshold=5.0, clear_after="2s", clear_readings=2)
        return Engine([RouteSettings(filter="#")], self.detectors, alarm, LimitSettings())

    def read(self, *values: float) -> StepOutput:
        rows = []
        for value in values:
            rows.append((b"pump/t", repr(value).encode(), START + self.second * SECOND, 0))
            self.second += 1
        self.offset += len(rows)
        return self.engine.step(JournalEntry(self.engine.position, self.offset - len(rows), MessageChunk.of(rows)))

    def act(self, *actions: Action) -> StepOutput:
        chunk = MessageChunk.of_actions(encode(actions), ticked_at=START + self.second * SECOND)
        return self.engine.step(JournalEntry(self.engine.position, self.offset, chunk))

    def restart(self) -> None:
        arrays, rest = self.engine.state()
        new = self.fresh()
        new.registry.load(self.engine.registry.records)
        assert new.load(self.engine.position, arrays, json.loads(json.dumps(rest))) == {}
        self.engine = new


def alarming() -> Plant:
    plant = Plant()
    plant.read(20.0, 60.0)
    return plant


def states(output: StepOutput) -> list[tuple[int, AlarmState]]:
    return [(record.alarm, record.state) for record in output.alarms]


def test_an_alarm_is_acknowledged_by_somebody_and_stays_open_until_it_is_back_to_normal() -> None:
    plant = alarming()
    done = plant.act(Acknowledge(by="Ana", at=NOON, alarm=1, note="bearing ordered"))
    (record,) = done.alarms
    assert (record.state, record.acknowledged_by, record.acknowledged_at, record.note) == (
        AlarmState.ACKNOWLEDGED,
        "Ana",
        NOON,
        "bearing ordered",
    )
    assert [alarm.series for alarm in plant.engine.open_alarms] == [0]
    plant.restart()
    (cleared,) = plant.read(20.0, 20.0, 20.0).alarms
    assert (cleared.state, cleared.acknowledged_by, cleared.cleared_reason) == (
        AlarmState.CLEARED,
        "Ana",
        "back to normal",
    )


def test_what_was_done_is_kept_in_order_with_who_and_what_was_said() -> None:
    plant = alarming()
    done = plant.act(
        Comment(by="Ana", at=NOON, alarm=1, note="smells of oil"),
        Feedback(by="Ben", at=NOON + 1, alarm=1, verdict="wrong", note="it was the test run"),
    )
    told = (
        "wrong; threshold cannot be raised above this alarm, which has the highest score there is: "
        "change its limit: it was the test run"
    )
    assert [(r.position, r.number, r.alarm, r.kind, r.by, r.at, r.text, r.refused) for r in done.actions] == [
        (1, 0, 1, "comment", "Ana", NOON, "smells of oil", ""),
        (1, 1, 1, "feedback", "Ben", NOON + 1, told, ""),
    ]
    assert (done.alarms[-1].feedback, done.alarms[-1].note) == ("wrong", "it was the test run")
    assert done.counts == {}


def test_an_alarm_cleared_by_hand_does_not_open_again_while_its_fault_goes_on() -> None:
    plant = alarming()
    (record,) = plant.act(Clear(by="Ana", at=NOON, alarm=1)).alarms
    assert (record.state, record.cleared, record.cleared_reason) == (AlarmState.CLEARED, START + SECOND, "by Ana")
    assert len(plant.engine.open_alarms) == 0
    plant.restart()
    assert states(plant.read(61.0, 62.0, 20.0, 20.0, 20.0)) == []
    assert states(plant.read(63.0)) == [(2, AlarmState.OPEN)]


def test_a_shelved_series_opens_alarms_that_say_so_until_the_time_is_over() -> None:
    plant = alarming()
    until = START + 8 * SECOND
    assert plant.act(Shelve(by="Ana", at=NOON, alarm=1, until=until)).alarms[0].shelved_until == until
    plant.restart()
    later = plant.read(20.0, 20.0, 20.0, 60.0, 20.0, 20.0, 20.0, 60.0).alarms
    opened = [(record.alarm, record.shelved_until) for record in later if record.cleared is None]
    assert opened == [(2, until), (3, None)]
    assert plant.act(Unshelve(by="Ana", at=NOON, alarm=2)).alarms[0].shelved_until is None


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ([Acknowledge(by="Ana", at=NOON, alarm=7)], "alarm 7: there is no such alarm, or it was cleared long ago"),
        ([Clear(by="Ana", at=NOON, alarm=1)] * 2, "alarm 1: it is cleared already"),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(actions: Sequence[Action], reason: str) -> None:
    plant = alarming()
    done = plant.act(*actions)
    assert done.actions[-1].refused == reason
    assert len(done.alarms) == len(actions) - 1


def test_a_stretch_that_is_not_to_be_learned_leaves_the_forecast_as_it_was() -> None:
    plant = Plant({"default": ComponentSettings(type="zscore", warmup=5)})
    plant.read(*[20.0, 21.0] * 10)
    start = START + plant.second * SECOND
    stretch = DoNotLearn(by="Ana", at=NOON, device="pump", metric="t*", start=start, end=start + 50 * SECOND)
    text = plant.act(stretch).actions[0].text
    assert text == "pump t* from 2025-06-15T15:07:00.000000000Z to 2025-06-15T15:07:50.000000000Z"
    plant.restart()
    inside = plant.read(*[25.0] * 50).points
    assert inside.expected.min() == inside.expected.max()
    after = plant.read(20.0, 20.0).points
    assert after.expected[0] == inside.expected[-1]
    assert after.expected[1] != after.expected[0]


def test_an_entry_reads_back_as_it_was_and_nothing_else_does() -> None:
    actions: list[Action] = [
        Shelve(by="Ana", at=NOON, alarm=3, until=NOON + 5),
        Comment(by="B", at=NOON, alarm=3, note="ä"),
    ]
    assert decode(encode(actions)) == actions
    for body in (b"", b"[{}]", b'[{"kind": "explode", "by": "A", "at": 1}]', b'[{"kind": "clear", "by": "", "at": 1}]'):
        with pytest.raises(ActionError):
            decode(body)
