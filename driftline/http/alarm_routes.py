"""What the API tells of alarms: the list of them, and how well the list serves people."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from alerts.figures import ACCEPTABLE_PER_HOUR, MANAGEABLE_PER_HOUR, alarm_figures
from alerts.incidents import FED_BY_LABEL, Topology, incident_of, incidents, site_of
from common.time_units import DAY
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.http.alarm_schemas import AlarmListReply
from driftline.http.errors import unknown
from driftline.http.parameters import DeviceFilter, series_of
from driftline.http.reply import Instant, SeriesNumber, json_response
from driftline.http.view import ServiceView
from storage.embedded.database import EmbeddedStore

_MOST_ALARMS = 100_000
_MOST_ACTED = 10_000


class TopReply(BaseModel):
    """A series with many alarms."""

    series: int
    device: str
    metric: str
    alarms: int


class NamedSeries(BaseModel):
    """A series by its names."""

    series: int
    device: str
    metric: str


class FiguresReply(BaseModel):
    """The figures of ISA-18.2 over a time, for one person who watches the list."""

    start: int
    end: int
    since: int = Field(description="From when on there was something to watch: start, or the first device, ns.")
    is_short: bool = Field(description="Less than a day was watched, and less than was asked for: no rate to judge.")
    alarms: int = Field(description="Alarms opened in the time.")
    per_hour: float = Field(description="Their mean number an hour of the time that was watched.")
    acceptable: float = Field(description="What one person can deal with, an hour.")
    manageable: float = Field(description="The most that one person can deal with, an hour.")
    verdict: str = Field(description="acceptable, manageable, too many, too early to tell, or nothing watched.")
    busiest: int = Field(description="Most alarms within ten minutes.")
    floods: int = Field(description="How often more than ten alarms opened within ten minutes.")
    flood_share: float = Field(description="Part of the time that floods took.")
    top: list[TopReply] = Field(description="The ten series with the most alarms.")
    top_share: float = Field(description="Part of all alarms that these had.")
    chattering: list[NamedSeries] = Field(description="Series with three alarms or more within a minute.")
    stale: list[int] = Field(description="Alarms that have been open for more than a day.")
    severities: dict[str, int] = Field(description="Alarms by severity.")
    open: int
    unacknowledged: int
    hours: list[int] = Field(description="Alarms by hour, the oldest hour first.")


def alarm_router(view: ServiceView) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["alarms"])
    store = view.store

    @router.get("/alarms", response_model=AlarmListReply)
    def alarms(
        state: Annotated[AlarmState | None, Query(description="Only alarms in this state.")] = None,
        series: Annotated[SeriesNumber | None, Query(description="Only alarms of this series.")] = None,
        device: DeviceFilter = None,
        limit: Annotated[int, Query(ge=1, le=10_000, description="Most alarms.")] = 200,
    ) -> Response:
        """Alarms, those not cleared first, then newest first."""
        if series is not None and not store.series_numbered([series]):
            raise unknown("query.series", str(series), (str(record.series) for record in store.series()))
        wanted: list[int | None] = [series]
        if device is not None:
            of_device = [record.series for record in series_of(store, device)]
            wanted = [each for each in of_device if series in (None, each)]
        found = [alarm for each in wanted for alarm in _alarms(store, state, each, limit)]
        found.sort(key=lambda alarm: (alarm.state is AlarmState.CLEARED, -alarm.opened))
        # This is asked every few seconds: of a hundred thousand devices only those are read that have alarms.
        records = store.series_numbered({alarm.series for alarm in found})
        found = [alarm for alarm in found if alarm.series in records]
        topology = _topology(store, {record.device for record in records.values()})
        number = incident_of(incidents(found, lambda series: records[series].device, topology))
        shown = _with_first(found, number, limit)
        told = view.notifier.outbox.told([alarm.alarm for alarm in shown]) if view.notifier is not None else {}
        replies = [
            alarm_reply(alarm, records[alarm.series])
            | {
                "incident": number[alarm.alarm],
                "maintenance": view.maintenance(records[alarm.series].device, alarm.opened),
                "is_muted": view.is_muted(records[alarm.series].device),
                "told": [dataclasses.asdict(each) for each in told.get(alarm.alarm, ())],
            }
            for alarm in shown
        ]
        return json_response({"alarms": replies})

    @router.get("/alarms/figures", response_model=FiguresReply)
    def figures(
        days: Annotated[float, Query(gt=0, le=366, description="How far back.")] = 7,
        end: Annotated[
            Instant | None, Query(alias="to", description="Until when, by the devices' time; unset: now.")
        ] = None,
    ) -> Response:
        """How many alarms there are for a person, floods, the worst series, chattering and stale ones (ISA-18.2)."""
        until = view.counts().time if end is None else end
        stored = store.alarms(limit=_MOST_ALARMS)
        found = alarm_figures(stored, until - int(days * DAY), until, store.first_seen())
        records = store.series_numbered([*(series for series, _ in found.top), *found.chattering])
        named = dataclasses.asdict(found) | {
            "acceptable": ACCEPTABLE_PER_HOUR,
            "manageable": MANAGEABLE_PER_HOUR,
            "verdict": found.verdict,
            "is_short": found.is_short,
            "top": [_names(records, series) | {"alarms": count} for series, count in found.top],
            "chattering": [_names(records, series) for series in found.chattering],
        }
        return json_response(named)

    return router


def alarm_replies(view: ServiceView, numbers: list[int]) -> list[dict[str, Any]]:
    """Alarms by number, of those that are open and those cleared last."""
    store = view.store
    wanted = set(numbers)
    stored = store.alarms(limit=_MOST_ACTED, open_only=True) + store.alarms(AlarmState.CLEARED, limit=_MOST_ACTED)
    acted = [alarm for alarm in stored if alarm.alarm in wanted]
    records = store.series_numbered({alarm.series for alarm in acted})
    return [alarm_reply(alarm, records[alarm.series]) for alarm in acted if alarm.series in records]


def alarm_reply(alarm: AlarmRecord, record: SeriesRecord) -> dict[str, Any]:
    """An alarm with the names of what it is about."""
    names = {"device": record.device, "metric": record.metric, "unit": record.unit}
    return dataclasses.asdict(alarm) | names


def _alarms(store: EmbeddedStore, state: AlarmState | None, series: int | None, limit: int) -> list[AlarmRecord]:
    """The newest alarms; where no state is asked for, those not cleared come whole, however old they are."""
    if state is not None:
        return store.alarms(state, series, limit)
    not_cleared = store.alarms(series=series, limit=max(limit, _MOST_ACTED), open_only=True)
    return not_cleared + store.alarms(AlarmState.CLEARED, series, limit)


def _topology(store: EmbeddedStore, devices: set[str]) -> Topology:
    """How devices that alarm hang together: their labels and those of what feeds them, and the sizes of their sites."""
    labels, asked = dict[str, dict[str, str]](), set[str]()
    while devices - asked:
        labels |= (further := store.labels(devices - asked))
        asked |= devices
        devices = {each[FED_BY_LABEL] for each in further.values() if FED_BY_LABEL in each}
    return Topology(labels=labels, sizes=store.site_sizes(set(map(site_of, asked))))


def _with_first(found: list[AlarmRecord], incident: dict[int, int], limit: int) -> list[AlarmRecord]:
    """At most `limit` alarms, among them those that stand first in their incidents."""
    shown, beyond = found[:limit], found[limit:]
    wanted = {incident[alarm.alarm] for alarm in shown}
    missing = [alarm for alarm in beyond if alarm.alarm in wanted][:limit]
    others = [alarm for alarm in shown if alarm.alarm not in wanted]
    left_out = {alarm.alarm for alarm in others[len(others) - len(missing) :]} if missing else set()
    return [alarm for alarm in shown if alarm.alarm not in left_out] + missing


def _names(records: dict[int, SeriesRecord], series: int) -> dict[str, object]:
    record = records.get(series, SeriesRecord(series, "", ""))
    return {"series": series, "device": record.device, "metric": record.metric}
