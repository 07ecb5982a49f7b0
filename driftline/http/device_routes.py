"""What the API tells of devices and their series."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response

from devices.asset_tree import Asset, AssetNode, asset_tree
from devices.records import SeriesRecord
from driftline.http import schemas
from driftline.http.errors import unknown
from driftline.http.parameters import DeviceFilter, DeviceName, series_of
from driftline.http.reply import json_response
from driftline.http.view import DeviceLife, DeviceState, Learning, ServiceView

MOST_DEVICES, USUAL_DEVICES = 10_000, 2_000
"""Most devices that one request lists, and how many where it does not say: what takes long holds the engine up."""

MOST_LEVELS = 8
"""Most labels that make a tree."""

_STATE = tuple(field.name for field in dataclasses.fields(DeviceState))


def device_router(view: ServiceView) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["devices"])
    store = view.store

    @router.get("/devices", response_model=schemas.DeviceListReply)
    def devices(
        retired: Annotated[bool, Query(description="Those too that are out of service.")] = False,
        offset: Annotated[int, Query(ge=0, description="Devices passed over.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_DEVICES, description="Most devices.")] = USUAL_DEVICES,
    ) -> Response:
        """Devices in service with their state and metrics, in the order in which they were first seen."""
        page = view.device_page(offset, limit, retired=retired)
        found = list(map(_device, page.states, _metrics(view.learning(), page.series)))
        return json_response({"time": view.counts().time, "total": page.total, "devices": found})

    @router.get("/asset-tree", response_model=schemas.AssetNodeReply)
    def tree(
        by: Annotated[
            list[str] | None,
            Query(max_length=MOST_LEVELS, description="Labels, the outermost first; unset: the levels of names."),
        ] = None,
    ) -> Response:
        """The plant as a tree of the devices in service, with what is silent and in alarm in each part."""
        page = view.device_page(0, sys.maxsize, retired=False)
        away = (DeviceLife.SILENT, DeviceLife.OFFLINE)
        assets = [Asset(each.device, each.labels, each.life in away, each.open_alarms) for each in page.states]
        return json_response(_node(asset_tree(assets, by or ())))

    @router.get("/devices/{device:path}", response_model=schemas.DeviceReply)
    def device(device: DeviceName) -> Response:
        """One device with its state and metrics."""
        states = {state.device: state for state in view.device_states()}
        if device not in states:
            raise unknown("device", device, states)
        [metrics] = _metrics(view.learning(), [store.series_of_device(device)])
        return json_response(_device(states[device], metrics))

    @router.get("/series", response_model=schemas.SeriesListReply)
    def series(device: DeviceFilter = None) -> Response:
        """Every series, or those of one device."""
        return json_response({"series": list(map(series_reply, series_of(store, device)))})

    return router


def series_reply(record: SeriesRecord) -> dict[str, Any]:
    """A series as the API tells it."""
    return {name: getattr(record, name) for name in schemas.SeriesReply.model_fields}


def learning_of(learning: Learning, series: int) -> dict[str, Any]:
    """How far a series has warmed up, and its threshold; null where nothing is known of it."""
    if series >= len(learning.seen):
        return {"warming": None, "threshold": None}
    seen, needed = int(learning.seen[series]), int(learning.needed[series])
    threshold = float(learning.threshold[series])
    return {
        "warming": {"seen": seen, "needed": needed} if seen < needed else None,
        "threshold": None if math.isnan(threshold) else threshold,
    }


def _metrics(learning: Learning, series: list[list[SeriesRecord]]) -> list[list[dict[str, Any]]]:
    """What is told of the series of each device; arrays are turned into numbers once for all of them."""
    every = [record for records in series for record in records]
    numbers = np.array([record.series for record in every], np.intp)
    # Of a series that is not known yet, what is appended holds.
    at = np.minimum(numbers, len(learning.seen))
    seen, needed = np.append(learning.seen, 0)[at], np.append(learning.needed, 0)[at]
    threshold = np.append(learning.threshold, np.nan)[at]
    told = zip(seen.tolist(), needed.tolist(), np.isnan(threshold).tolist(), threshold.tolist(), strict=True)
    found = iter(
        [
            {
                "series": record.series,
                "metric": record.metric,
                "unit": record.unit,
                "kind": record.kind,
                "warming": {"seen": of, "needed": most} if of < most else None,
                "threshold": None if unknown else score,
            }
            for record, (of, most, unknown, score) in zip(every, told, strict=True)
        ]
    )
    return [[next(found) for _ in records] for records in series]


def _node(node: AssetNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "devices": node.devices,
        "silent": node.silent,
        "open_alarms": node.open_alarms,
        "parts": [_node(part) for part in node.parts.values()],
        "members": node.members,
    }


def _device(state: DeviceState, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: getattr(state, name) for name in _STATE} | {"metrics": metrics}
