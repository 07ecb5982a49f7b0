"""What the HTTP API asks of the parts that a service may have beside its flow: simulator, functions, workflows, traces.

As with `driftline.http.view.ServiceView`, any thread may call them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from firmware_sim.fleet_description import FleetDescription
from firmware_sim.injection import Injection

from devices.fault_labels import FaultLabel
from driftline.tracing.traces import Trace, Why
from functions.call_records import CallRecord, Outcome
from functions.function_queue import WaitingEvent
from functions.function_settings import FunctionSettings
from workflows.run_records import RunDetail, RunRecord
from workflows.workflow_settings import WorkflowSettings


class SimulatorView(Protocol):
    """The simulated devices on the service's broker; all but the constructor may raise BrokerUnreachableError."""

    def fleets(self) -> list[FleetDescription]:
        """The simulators that run."""
        ...

    def inject(self, wanted: Injection) -> str | None:
        """Ask for a fault; what the simulator answers that has the device, None where none has it."""
        ...

    def labels(self) -> list[FaultLabel]:
        """The truth about all faults that began, in order of time. Raises ValueError, OSError too."""
        ...


class FunctionView(Protocol):
    """The functions of the service."""

    @property
    def declared(self) -> Sequence[FunctionSettings]:
        """The functions in force."""
        ...

    def counts(self, name: str) -> dict[str, int]:
        """What was counted of a function, and how many events of it wait now."""
        ...

    def state(self, settings: FunctionSettings) -> dict[str, Any]:
        """How a function does, as the API tells it."""
        ...

    def calls(self, name: str | None, limit: int) -> list[CallRecord]:
        """The newest calls, of one function or of all."""
        ...

    def failed(self, name: str, limit: int) -> list[WaitingEvent]:
        """Events that were given up, the newest first."""
        ...

    def invoke(self, name: str, event: Any, key: str) -> tuple[Outcome, CallRecord]:
        """Call a function now and wait. Raises KeyError, BusyError."""
        ...

    def submit(self, name: str, event: Any, key: str) -> bool:
        """Queue an event; False where one of its key waits already. Raises KeyError."""
        ...

    def retry(self, name: str) -> int:
        """Try again what was given up; returns how many events."""
        ...


class WorkflowView(Protocol):
    """The workflows of the service."""

    @property
    def declared(self) -> Sequence[WorkflowSettings]:
        """The workflows in force."""
        ...

    def definition(self, name: str) -> tuple[dict[str, Any], list[str]]:
        """A workflow's definition as its file has it now, and what is wrong with it. Raises KeyError."""
        ...

    def begin(self, name: str, value: Any, key: str | None) -> tuple[str, bool]:
        """Begin a run: its name, and whether it is new. Raises KeyError, RunError."""
        ...

    def runs(self, name: str | None, limit: int) -> list[RunRecord]:
        """Runs, the newest first, of one workflow or of all."""
        ...

    def counts(self, name: str) -> dict[str, int]:
        """What became of a workflow's runs since the start, and how those under way stand; empty before that."""
        ...

    def run(self, run: str) -> RunDetail:
        """One run, with everything. Raises UnknownRunError."""
        ...

    def decide(self, run: str, place: str | None, *, approved: bool, by: str, comment: str) -> str:
        """Approve or refuse what waits for it; its place. Raises UnknownRunError, RunError."""
        ...

    def resume(self, run: str) -> str:
        """Take up a run that failed; the name of the run that does so. Raises UnknownRunError, RunError."""
        ...

    def cancel(self, run: str) -> None:
        """End a run before its next step. Raises UnknownRunError, RunError."""
        ...


class TraceView(Protocol):
    """The traces that are kept."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Traces by why they are kept, those "left out", and messages with a "malformed traceparent"."""
        ...

    @property
    def exporter(self) -> SpanCounts:
        """What became of spans on their way to a collector."""
        ...

    def newest(self, limit: int, why: Why | None = None) -> list[Trace]:
        """The newest traces, the newest first; with `why` those alone that are kept for that."""
        ...

    def of(self, trace_id: str) -> list[Trace]:
        """The messages of a trace in their order; none where it is not kept."""
        ...


class SpanCounts(Protocol):
    """Spans that a collector has taken, and that it has not."""

    @property
    def exported(self) -> int:
        """Taken."""
        ...

    @property
    def lost(self) -> int:
        """Not taken, and not sent again."""
        ...
