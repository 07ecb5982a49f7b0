"""What people do with devices over HTTP: each becomes an entry of the journal, so that replays and restarts keep it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from alerts.actions import ActionError
from devices.device_actions import (
    DeleteDevice,
    DeviceAction,
    LabelDevice,
    MergeDevice,
    MuteDevice,
    RenameDevice,
    RestoreDevice,
    RetireDevice,
    UnmuteDevice,
)
from devices.records import DeviceRecord
from driftline.access.identity import Identity, Role
from driftline.http.access_guard import Operator
from driftline.http.acting import WAITS, carried_out, status_of
from driftline.http.action_routes import DoneReply
from driftline.http.errors import ApiError
from driftline.http.notice_routes import Audit
from driftline.http.reply import json_response
from driftline.http.view import ServiceView

MOST_DEVICES = 1_000
_FOR_ADMINS = frozenset({"merge", "delete"})


class DeviceRequest(BaseModel):
    """Something to do with devices."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "label", "devices": ["plant/pump-01"], "labels": {"site": "north"}}]
        },
    )
    action: Literal["rename", "label", "retire", "restore", "mute", "unmute", "merge", "delete"]
    devices: list[str] = Field(min_length=1, max_length=MOST_DEVICES, description="Their identities.")
    name: str | None = Field(default=None, description="rename: what it is shown as; empty: its identity.")
    labels: dict[str, str | None] | None = Field(default=None, description="label: to be set; null takes one away.")
    into: str | None = Field(default=None, description="merge: the device that has their readings from now on.")
    note: str = Field(default="", max_length=2_000, description="What is to be said about it.")


class DeviceActionReply(BaseModel):
    """What was done."""

    done: list[DoneReply]
    kept: str = Field(description="merge: what stays as it was elsewhere, and what to do; else empty.")


def device_action_router(view: ServiceView, audit: Audit) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["devices"])

    @router.post("/devices/actions", response_model=DeviceActionReply, responses=WAITS)
    def act(who: Operator, given: DeviceRequest) -> Response:
        """Rename, label, retire, restore, mute, unmute, merge or delete devices; only administrators merge and delete.

        A device that is deleted goes with its points, states and alarms, in the archive and in external databases too.
        That cannot be undone. `kept` says what of a merged device stays as it was in external databases.
        """
        _check_role(who, given.action)
        devices = list(dict.fromkeys(given.devices))
        now = view.counts().time
        before = {each.device: each for each in view.store.devices()}
        if given.action == "rename":
            _check_name(given.name, devices[0], view, before)
        done = carried_out(view, lambda: [_action(given, device, who.name, now) for device in devices])
        after = {each.device: each for each in view.store.devices()}
        for device, each in zip(devices, done, strict=True):
            told = ": ".join(part for part in (each.text, each.refused and f"refused: {each.refused}") if part)
            was, became = _changed(before.get(device), after.get(device))
            audit(who.name, who.address, f"device: {given.action}", told, before=was, after=became)
        refused = [each.refused for each in done if each.refused]
        if len(refused) == len(done):
            raise ApiError(409, "refused", refused[0])
        kept = view.kept_elsewhere() if given.action == "merge" else ""
        told_all = {"done": [dataclasses.asdict(each) for each in done], "kept": kept}
        return json_response(told_all, status=status_of(done))

    return router


def _changed(before: DeviceRecord | None, after: DeviceRecord | None) -> tuple[str, str]:
    """What changed of a device, before and after, as the audit log tells it."""
    was, became = ({} if each is None else dataclasses.asdict(each) for each in (before, after))
    names = [name for name in {**was, **became} if was.get(name) != became.get(name)]
    if not names:
        return "", ""
    old, new = (json.dumps({name: each.get(name) for name in names}, default=str) for each in (was, became))
    return old, new


def _check_role(who: Identity, action: str) -> None:
    if action in _FOR_ADMINS and not who.role.includes(Role.ADMIN):
        raise ApiError(403, "forbidden", f'{who.name} is {who.role}; {action} needs the role "{Role.ADMIN}"')


def _check_name(name: str | None, device: str, view: ServiceView, records: Mapping[str, DeviceRecord]) -> None:
    """Two devices that read alike could not be told apart: the name is no other device's identity."""
    if not name or name == device or (name in records and records[name].merged_into):
        return
    if name in records or any(series.device == name for series in view.store.series()):
        raise ApiError(409, "refused", f'name: "{name}" is another device; choose a name that no device sends under')


def _action(given: DeviceRequest, device: str, by: str, at: int) -> DeviceAction:
    match given.action:
        case "rename":
            if given.name is None:
                raise ActionError("name: missing: what is the device to be shown as?")
            if len(set(given.devices)) > 1:
                raise ActionError(f"devices: got {len(given.devices)}, expected one: each has a name of its own")
            return RenameDevice(by=by, at=at, device=device, note=given.note, name=given.name)
        case "label":
            return LabelDevice(by=by, at=at, device=device, note=given.note, labels=given.labels or {})
        case "merge":
            if given.into is None:
                raise ActionError("into: missing: which device has the readings from now on?")
            return MergeDevice(by=by, at=at, device=device, note=given.note, into=given.into)
    simple: dict[str, type[RetireDevice | RestoreDevice | MuteDevice | UnmuteDevice | DeleteDevice]] = {
        "retire": RetireDevice,
        "restore": RestoreDevice,
        "mute": MuteDevice,
        "unmute": UnmuteDevice,
        "delete": DeleteDevice,
    }
    return simple[given.action](by=by, at=at, device=device, note=given.note)
