"""Registry: what people do with devices, as typed actions that stand in the journal between the messages."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
DeviceName = Annotated[str, Field(min_length=1, max_length=1024)]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
LabelValue = Annotated[str, Field(min_length=1, max_length=200)]


class PersonAction(BaseModel):
    """Who did it, and when by the service's clock (ns since the epoch)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Name
    at: int


class _DeviceAction(PersonAction):
    """Something done with one device."""

    device: DeviceName
    note: Text = ""


class RenameDevice(_DeviceAction):
    """Show the device under another name; its identity, by which its messages are told, stays as it is."""

    kind: Literal["rename"] = "rename"
    name: Annotated[str, Field(max_length=200)] = Field(default="", description="Empty: its identity again.")


class LabelDevice(_DeviceAction):
    """Set labels of the device; None takes a label away, and the others stay."""

    kind: Literal["label_device"] = "label_device"
    labels: dict[LabelName, LabelValue | None] = Field(min_length=1, max_length=50)


class RetireDevice(_DeviceAction):
    """The device is out of service: no alarms, and out of the list. Its readings are still stored."""

    kind: Literal["retire"] = "retire"


class RestoreDevice(_DeviceAction):
    """The device is in service again."""

    kind: Literal["restore"] = "restore"


class MuteDevice(_DeviceAction):
    """Nobody is told of the device's alarms; they are recorded and shown as muted."""

    kind: Literal["mute"] = "mute"


class UnmuteDevice(_DeviceAction):
    """The device's alarms are told of again, from the next one on."""

    kind: Literal["unmute"] = "unmute"


class MergeDevice(_DeviceAction):
    """What the device sends, and has sent, is of device `into`: it took the other's place."""

    kind: Literal["merge"] = "merge"
    into: DeviceName

    @model_validator(mode="after")
    def _is_another(self) -> Self:
        if self.into == self.device:
            raise ValueError(f'into: got "{self.into}", expected another device than the one that is merged')
        return self


class DeleteDevice(_DeviceAction):
    """Forget the device with all its points, states and alarms. It cannot be undone."""

    kind: Literal["delete"] = "delete"


class StretchAction(PersonAction):
    """Something said of a metric from `start` up to and without `end` (ns, event time)."""

    device: DeviceName
    metric: DeviceName
    start: int
    end: int
    note: Text = ""

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end: expected a time after start {self.start}, got {self.end}")
        return self


class ExcludePoints(StretchAction):
    """The points are wrong: they leave charts, aggregates and what is learned again, and are kept apart."""

    kind: Literal["exclude"] = "exclude"


class IncludePoints(StretchAction):
    """The points that were excluded are right after all."""

    kind: Literal["include"] = "include"


PointsAction = ExcludePoints | IncludePoints
DeviceAction = (
    RenameDevice | LabelDevice | RetireDevice | RestoreDevice | MuteDevice | UnmuteDevice | MergeDevice | DeleteDevice
)


def text_of_device_action(action: DeviceAction) -> str:
    """What an action says beside its kind and its note."""
    match action:
        case RenameDevice():
            return f'{action.device} as "{action.name}"' if action.name else f"{action.device} by its identity"
        case LabelDevice():
            told = (f"{k} taken away" if v is None else f'{k} = "{v}"' for k, v in action.labels.items())
            return f"{action.device}: {', '.join(told)}"
        case MergeDevice():
            return f"{action.device} into {action.into}"
        case _:
            return action.device
