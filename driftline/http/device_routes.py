"""What the API tells of devices and their series."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from devices.records import SeriesRecord
from driftline.http import schemas
from driftline.http.errors import unknown
from driftline.http.parameters import DeviceFilter, DeviceName, series_of
from driftline.http.reply import json_response
from driftline.http.view import DeviceLife, DeviceState, Learning, ServiceView


def device_router(view: ServiceView) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["devices"])
    store = view.store

    @router.get("/devices", response_model=schemas.DeviceListReply)
    def devices(
        retired: Annotated[bool, Query(description="Those too that are out of service.")] = False,
    ) -> Response:
        """Every device in service with its state and metrics."""
        metrics = defaultdict(list)
        for record in store.series():
            metrics[record.device].append(record)
        learning = view.learning()
        states = [each for each in view.device_states() if retired or each.life is not DeviceLife.RETIRED]
        found = [_device(learning, state, metrics[state.device]) for state in states]
        return json_response({"time": view.counts().time, "devices": found})

    @router.get("/devices/{device:path}", response_model=schemas.DeviceReply)
    def device(device: DeviceName) -> Response:
        """One device with its state and metrics."""
        states = {state.device: state for state in view.device_states()}
        if device not in states:
            raise unknown("device", device, states)
        records = [record for record in store.series() if record.device == device]
        return json_response(_device(view.learning(), states[device], records))

    @router.get("/series", response_model=schemas.SeriesListReply)
    def series(device: DeviceFilter = None) -> Response:
        """Every series, or those of one device."""
        return json_response({"series": list(map(series_reply, series_of(store.series(), device)))})

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


def _device(learning: Learning, state: DeviceState, records: Iterable[SeriesRecord]) -> dict[str, Any]:
    metrics = [
        {"series": record.series, "metric": record.metric, "unit": record.unit, "kind": record.kind}
        | learning_of(learning, record.series)
        for record in records
    ]
    return dataclasses.asdict(state) | {"metrics": metrics}
