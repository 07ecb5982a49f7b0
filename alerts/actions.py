"""Alarm: what people do with alarms, series and devices, as typed actions that stand in the journal.

An action is an entry of the journal of its own, so that a replay, a restart and a backup keep it: the engine takes it
at its position, as it takes messages. `encode` gives the entry's body, `decode` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from devices.device_actions import (
    DeleteDevice,
    DeviceAction,
    ExcludePoints,
    IncludePoints,
    LabelDevice,
    MergeDevice,
    MuteDevice,
    Name,
    PersonAction,
    PointsAction,
    RenameDevice,
    RestoreDevice,
    RetireDevice,
    StretchAction,
    Text,
    UnmuteDevice,
    text_of_device_action,
)

Verdict = Literal["right", "wrong", "expected"]


class _AlarmAction(PersonAction):
    """Something done with one alarm."""

    alarm: int = Field(ge=1)
    note: Text = ""


class Acknowledge(_AlarmAction):
    """Somebody has seen the alarm and takes care of it."""

    kind: Literal["acknowledge"] = "acknowledge"


class Unacknowledge(_AlarmAction):
    """Nobody takes care of it after all."""

    kind: Literal["unacknowledge"] = "unacknowledge"


class Shelve(_AlarmAction):
    """Leave the alarm's series in peace until a time: this alarm, and those that open on the series before it."""

    kind: Literal["shelve"] = "shelve"
    until: int = Field(description="Event time, ns since the epoch.")


class Unshelve(_AlarmAction):
    """Take the series off the shelf."""

    kind: Literal["unshelve"] = "unshelve"


class Clear(_AlarmAction):
    """End the alarm by hand; no other opens until its series has been back to normal once."""

    kind: Literal["clear"] = "clear"


class Comment(_AlarmAction):
    """Say something about the alarm."""

    kind: Literal["comment"] = "comment"


class Feedback(_AlarmAction):
    """Say whether the alarm was right, wrong, or of something that is expected from now on."""

    kind: Literal["feedback"] = "feedback"
    verdict: Verdict


class UndoFeedback(_AlarmAction):
    """Take back what was said of the alarm: threshold and level are what they were without it."""

    kind: Literal["undo_feedback"] = "undo_feedback"


class DoNotLearn(StretchAction):
    """Do not learn from a stretch of event time: what is stored of it is scored, but not taken for normal.

    It holds for readings that come after it; what was learned already stays so.
    """

    kind: Literal["do_not_learn"] = "do_not_learn"
    metric: Name = Field(default="*", description='Metrics whose names match; "*" stands for any characters.')


class MarkStretch(StretchAction):
    """Say whether a stretch of event time was a fault or normal: what settings are compared against."""

    kind: Literal["mark_stretch"] = "mark_stretch"
    mark: Literal["fault", "normal", "none"] = Field(description="none: nothing is said of the stretch any more.")


class ReportChannel(PersonAction):
    """Driftline itself says that a notice channel takes nothing any more, does so again, or is there no longer."""

    kind: Literal["report_channel"] = "report_channel"
    channel: Name
    state: Literal["dead", "well", "removed"]
    error: Text = Field(default="", description="dead: what the last attempt ended with.")
    since: int = Field(description="dead: since when its oldest notice waits, ns by the service's clock.")
    note: Text = ""


AlarmAction = Acknowledge | Unacknowledge | Shelve | Unshelve | Clear | Comment | Feedback | UndoFeedback
Action = AlarmAction | ReportChannel | DoNotLearn | MarkStretch | DeviceAction | PointsAction

_ACTIONS: TypeAdapter[list[Action]] = TypeAdapter(list[Annotated[Action, Field(discriminator="kind")]])


class ActionError(ValueError):
    """An action that cannot be done; the message says which and why."""


def encode(actions: Sequence[Action]) -> bytes:
    """The body of a journal entry that holds these actions."""
    return _ACTIONS.dump_json(list(actions))


def decode(body: bytes) -> list[Action]:
    """The actions that `encode` was given. Raises ActionError for anything else."""
    try:
        return _ACTIONS.validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise ActionError(f"action: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def text_of(action: Action, outcome: str = "") -> str:
    """What is kept of an action beside its kind: what else it says, what came of it, and the note."""
    match action:
        case Shelve():
            said = f"until {np.datetime64(action.until, 'ns')}Z"
        case Feedback():
            said = action.verdict
        case ReportChannel():
            said = f'notice channel "{action.channel}": {action.state}'
        case DoNotLearn() | ExcludePoints() | IncludePoints():
            start, end = (f"{np.datetime64(time, 'ns')}Z" for time in (action.start, action.end))
            said = f"{action.device} {action.metric} from {start} to {end}"
        case MarkStretch():
            start, end = (f"{np.datetime64(time, 'ns')}Z" for time in (action.start, action.end))
            said = f"{action.mark}: {action.device} {action.metric} from {start} to {end}"
        case RenameDevice() | LabelDevice() | RetireDevice() | RestoreDevice() | MergeDevice() | DeleteDevice():
            said = text_of_device_action(action)
        case MuteDevice() | UnmuteDevice():
            said = text_of_device_action(action)
        case _:
            said = ""
    return ": ".join(part for part in ("; ".join(part for part in (said, outcome) if part), action.note) if part)
