"""The simulator over HTTP: the simulated devices, a fault asked for, and the score card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from firmware_sim.injection import Injection
from firmware_sim.publisher import BrokerUnreachableError
from firmware_sim.worlds import WORLDS
from pydantic import BaseModel, ConfigDict, Field

from devices.fault_labels import FaultLabel
from driftline.http.access_guard import Operator
from driftline.http.bounds import QueryPool
from driftline.http.errors import ApiError
from driftline.http.notice_routes import Audit
from driftline.http.part_views import SimulatorView
from driftline.http.reply import json_response
from driftline.http.view import ServiceView
from storage.embedded.query_watch import QueryStop
from tuning.live_scores import score_live
from tuning.recorded_scorecard import recorded_scorecard
from tuning.scorecard import FaultOutcome, Score
from tuning.scorecard_tables import as_json

_LONGEST = 30 * 86_400.0
_MOST_OUTCOMES = 200


class WorldReply(BaseModel):
    """A world that can be simulated."""

    world: str
    summary: str


class SimulatedDeviceReply(BaseModel):
    """One simulated device: the metrics that each kind of fault can begin on; "*" is the whole device."""

    device: str
    faults: dict[str, list[str]]
    plant: list[str] = Field(description="Kinds of fault of the plant that reach it, and others with it.")


class LabelReply(BaseModel):
    """A fault that has begun; times in ns."""

    device: str
    metric: str
    kind: str
    start: int
    end: int
    severity: str
    root: str
    expected: str
    unseen: str = Field(description="Why nothing that only knows the past can see it; empty where it can be seen.")


class FleetReply(BaseModel):
    """One simulator that runs."""

    world: str
    seed: int
    count: int
    devices: list[SimulatedDeviceReply]


class SimulatorReply(BaseModel):
    """The simulators on the broker, the faults that began last, and the worlds that could run."""

    fleets: list[FleetReply]
    faults: list[LabelReply] = Field(description="The newest first.")
    worlds: list[WorldReply]


class InjectionRequest(BaseModel):
    """A fault that is to begin now."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"device": "press-01", "fault": "stuck", "seconds": 120}]}
    )
    device: str = Field(min_length=1, max_length=1_000, description="As the simulator names it.")
    fault: str = Field(
        min_length=1, max_length=100, description='A kind of fault, such as "stuck", or "coolant loss" of the plant.'
    )
    metric: str = Field(default="", max_length=1_000, description="The metric; the first that suits where empty.")
    seconds: float | None = Field(
        default=None,
        gt=0,
        le=_LONGEST,
        description="How long it lasts; where null, 120 of a sensor, and as long as usual for a fault of the plant.",
    )
    size: float = Field(default=10, gt=0, le=1_000, description="How large a sensor's fault is, in usual scatters.")


class InjectionReply(BaseModel):
    """What the simulator answered."""

    answer: str


class OutcomeReply(BaseModel):
    """What became of one fault, under the service's name of its device; times in ns."""

    kind: str
    device: str
    metric: str
    start: int
    end: int
    unseen: str = Field(description="Why nothing that only knows the past can see it; empty where it can be seen.")
    found: bool
    found_by: str
    delay_seconds: float | None = Field(description="From when it can be seen to the alarm.")
    open_share: float | None = Field(description="Share of its time with an alarm open; null for a few readings.")


class ScorecardReply(BaseModel):
    """Alarms against known faults: of this service's simulated devices so far, and as recorded of the default."""

    live: dict[str, Any] | None = Field(description="As `driftline score --live --out` writes it; null without truth.")
    faults: list[OutcomeReply] = Field(description="The faults of the live card, the newest first, 200 at most.")
    recorded: dict[str, Any] | None = Field(description="As `make scorecard` writes it; null where there is none.")


def simulator_router(view: ServiceView, queries: QueryPool, audit: Audit) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["simulator"])

    @router.get("/simulator", response_model=SimulatorReply)
    def simulator(
        faults: Annotated[int, Query(ge=0, le=1_000, description="Most faults.")] = 50,
    ) -> Response:
        """The simulated devices on the broker, and the faults that have begun on them. Takes up to a second."""
        desk = view.simulator
        try:
            fleets, labels = ([], []) if desk is None else (desk.fleets(), desk.labels())
        except (BrokerUnreachableError, ValueError, OSError) as error:
            raise ApiError(503, "unavailable", str(error)) from None
        return json_response(
            {
                "fleets": [
                    {"world": one.world, "seed": one.seed, "count": one.count, "devices": one.devices} for one in fleets
                ],
                "faults": labels[::-1][:faults],
                "worlds": [{"world": world.name, "summary": world.summary} for world in WORLDS],
            }
        )

    @router.post("/simulator/inject", response_model=InjectionReply)
    def inject(who: Operator, given: InjectionRequest) -> Response:
        """Let a fault begin on a simulated device, as `driftline simulate inject` does."""
        wanted = Injection(given.device, given.fault, given.metric, given.seconds, given.size)
        try:
            answer = None if view.simulator is None else view.simulator.inject(wanted)
        except BrokerUnreachableError as error:
            raise ApiError(503, "unavailable", str(error)) from None
        if answer is None:
            raise ApiError(404, "not_found", f"body.device: no simulator on the broker has a device {given.device!r}")
        if " until " not in answer:
            raise ApiError(400, "invalid_request", f"body: {answer}")
        audit(who.name, who.address, "fault injected", f"{given.device}: {given.fault}")
        return json_response({"answer": answer})

    @router.get("/scorecard", response_model=ScorecardReply)
    async def scorecard(
        asked: Request,
        recorded: Annotated[
            bool, Query(description="With the record, which stays as it is while the service runs.")
        ] = True,
    ) -> Response:
        """What of the known faults was found: live, alarms joined with the simulator's truth, and as recorded."""

        def answer(stop: QueryStop) -> Response:
            try:
                desk = view.simulator
                labels = [] if desk is None else desk.labels()
                score = None if desk is None or not labels else _live(view, desk, labels, stop)
                record = recorded_scorecard() if recorded else None
            except (BrokerUnreachableError, ValueError, OSError) as error:
                raise ApiError(503, "unavailable", str(error)) from None
            faults = sorted(score.faults, key=lambda fault: -fault.start)[:_MOST_OUTCOMES] if score else []
            live = score and as_json(score, {"live": True})
            ends = {(label.kind, label.metric, label.start): label.end for label in labels}
            return json_response({"live": live, "faults": [_outcome(one, ends) for one in faults], "recorded": record})

        return await queries.run(asked, answer)

    return router


def _outcome(fault: FaultOutcome, ends: Mapping[tuple[str, str, int], int]) -> dict[str, Any]:
    """For the reply, with the end that the fault will have: the score knows the past alone."""
    told = {name: getattr(fault, name) for name in OutcomeReply.model_fields}
    return {**told, "end": ends.get((fault.kind, fault.metric, fault.start), fault.end)}


def _live(view: ServiceView, desk: SimulatorView, labels: Sequence[FaultLabel], stop: QueryStop) -> Score:
    """The score of this service's simulated devices."""
    fleets = desk.fleets()
    simulated = [one.device for fleet in fleets for one in fleet.devices] if fleets else None
    return score_live(lambda sql, most: view.store.query(sql, most, stop=stop).rows, labels, simulated)
