"""Request parameters that several endpoints share, and the series that they choose."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path as InPath
from fastapi import Query

from devices.records import SeriesRecord
from driftline.http.errors import unknown
from driftline.http.reply import Instant
from storage.embedded.database import EmbeddedStore

DeviceName = Annotated[str, InPath(description="The device's name, slashes as they are.", examples=["plant/pump-01"])]
DeviceFilter = Annotated[str | None, Query(description="Only this device's.", examples=["plant/pump-01"])]
Start = Annotated[
    Instant | None, Query(alias="from", description="Earliest time, ISO 8601 or a number since 1970; unset: the first.")
]
End = Annotated[Instant | None, Query(alias="to", description="First time left out; unset: none.")]


def series_of(store: EmbeddedStore, device: str | None) -> list[SeriesRecord]:
    """The series of one device, or all of them. Raises ApiError for a device that has none."""
    if device is None:
        return store.series()
    chosen = store.series_of_device(device)
    if not chosen:
        raise unknown("query.device", device, {record.device for record in store.series()})
    return chosen
