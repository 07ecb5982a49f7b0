"""Brings a Grafana to what is described here, and leaves alone what people changed there.

Every push leaves the content's fingerprint in the version's message. A dashboard whose newest version carries the
fingerprint of what it holds was last saved by a push, and may be replaced; any other was changed in Grafana.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dashboards.building import Json
from dashboards.grafana_client import ConflictError, Grafana, Stored
from dashboards.model import FOLDER_TITLE, FOLDER_UID

_MARK = "driftline dashboards push "
_GRAFANAS_OWN = ("id", "version", "iteration")
_SECRET = "secureJsonData"


class Change(StrEnum):
    """What becomes, or would become, of one thing in Grafana."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    """It was changed in Grafana, and stays as it is there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing in Grafana: what becomes of it, and why or in what respect."""

    kind: str
    name: str
    change: Change
    details: tuple[str, ...] = ()


def push(
    grafana: Grafana, dashboards: Mapping[str, Json], data_source: Mapping[str, Any], *, force: bool = False
) -> list[Step]:
    """Folder, data source and dashboards, in that order; what is there as it should be is not touched.

    With `force`, what was changed in Grafana is replaced too. Raises GrafanaError; what was done before stays done,
    and doing it all again changes nothing.
    """
    made = grafana.ensure_folder(FOLDER_UID, FOLDER_TITLE)
    steps = [Step("folder", FOLDER_TITLE, Change.CREATED if made else Change.UNCHANGED)]
    steps.append(_push_data_source(grafana, data_source, force=force))
    steps += [_push_dashboard(grafana, uid, dashboard, force=force) for uid, dashboard in dashboards.items()]
    return steps


def planned(
    grafana: Grafana, dashboards: Mapping[str, Json], data_source: Mapping[str, Any], *, force: bool = False
) -> list[Step]:
    """What `push` would do now, with every difference named; changes nothing. Raises GrafanaError."""
    steps = [_planned_data_source(grafana, data_source, force=force)]
    for uid, dashboard in dashboards.items():
        steps.append(_planned_dashboard(uid, dashboard, grafana.dashboard(uid), force=force))
    return steps


def fingerprint(dashboard: Mapping[str, Any]) -> str:
    """A short hash of a dashboard's content, without what Grafana adds to it."""
    content = {name: value for name, value in dashboard.items() if name not in _GRAFANAS_OWN}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Where two JSON values differ, one line each: the place, what is there, what would be."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            if not place and name in _GRAFANAS_OWN:
                continue
            yield from differences(old.get(name), new.get(name), f"{place}.{name}" if place else str(name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")
    elif old != new:
        yield f"{place}: {_short(old)} -> {_short(new)}"


def _push_dashboard(grafana: Grafana, uid: str, dashboard: Json, *, force: bool) -> Step:
    stored = grafana.dashboard(uid)
    step = _planned_dashboard(uid, dashboard, stored, force=force)
    if step.change in {Change.UNCHANGED, Change.KEPT}:
        return step
    try:
        grafana.save_dashboard(
            dashboard,
            folder_uid=FOLDER_UID,
            message=_MARK + fingerprint(dashboard),
            version=None if stored is None else stored.version,
            overwrite=False,
        )
    except ConflictError as error:
        return Step("dashboard", uid, Change.KEPT, (f"was saved in Grafana just now, try again: {error}",))
    return step


def _planned_dashboard(uid: str, dashboard: Json, stored: Stored | None, *, force: bool) -> Step:
    if stored is None:
        return Step("dashboard", uid, Change.CREATED)
    found = tuple(differences(stored.dashboard, dashboard))
    if not found:
        return Step("dashboard", uid, Change.UNCHANGED)
    if stored.provisioned:
        return Step("dashboard", uid, Change.KEPT, ("is provisioned from a file; change that file", *found))
    if not force and stored.message != _MARK + fingerprint(stored.dashboard):
        return Step("dashboard", uid, Change.KEPT, ("was changed in Grafana; --force replaces it", *found))
    return Step("dashboard", uid, Change.UPDATED, found)


def _push_data_source(grafana: Grafana, wanted: Mapping[str, Any], *, force: bool) -> Step:
    step = _planned_data_source(grafana, wanted, force=force)
    if step.change is Change.CREATED:
        grafana.create_data_source(wanted)
    elif step.change is Change.UPDATED:
        grafana.update_data_source(wanted["uid"], wanted)
    return step


def _planned_data_source(grafana: Grafana, wanted: Mapping[str, Any], *, force: bool) -> Step:
    """Only what we set is compared; a secret cannot be read back, and goes along with any other change."""
    name = str(wanted["name"])
    stored = grafana.data_source(wanted["uid"])
    if stored is None:
        return Step("data source", name, Change.CREATED)
    found: list[str] = []
    for key, value in wanted.items():
        if key == "jsonData":
            have = stored.get("jsonData", {})
            found += differences({option: have.get(option) for option in value}, value, "jsonData")
        elif key != _SECRET:
            found += differences(stored.get(key), value, key)
    if not found:
        return Step("data source", name, Change.UNCHANGED)
    if not force:
        return Step("data source", name, Change.KEPT, ("differs in Grafana; --force replaces it", *found))
    return Step("data source", name, Change.UPDATED, tuple(found))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 80 else f"{text[:77]}..."
