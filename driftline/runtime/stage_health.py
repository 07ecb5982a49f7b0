"""How each stage of the running service does, in a status and a sentence for people."""

from __future__ import annotations

from alerts.notices.notifier import Notifier
from driftline.http.view import StageHealth, Status
from driftline.runtime.broker_losses import BrokerLosses
from driftline.runtime.engine_worker import EngineWorker
from driftline.runtime.sink_worker import SinkState
from driftline.runtime.store_worker import StoreWorker
from ingest.device_status import mostly_refused
from ingest.receiver_state import ReceiverState, Reception
from storage.embedded.database import EmbeddedStore
from storage.store import Journal

_LAGGING_SECONDS = 10.0
_NEAR_LIMIT = 0.8
_MANY_CONFLICTS = 0.01
_CONFLICTS = (
    "{count:,} readings met another value of their series at their time and are kept a nanosecond apart: where two "
    "things share a name, set `device` or `metric` on their route"
)
_RECEIVER_STATUS = {
    ReceiverState.STOPPED: Status.YELLOW,
    ReceiverState.STARTING: Status.YELLOW,
    ReceiverState.RUNNING: Status.GREEN,
    ReceiverState.PAUSED: Status.YELLOW,
    ReceiverState.NO_BROKER: Status.RED,
    ReceiverState.KAFKA_AWAY: Status.RED,
    ReceiverState.TAKEN_OVER: Status.RED,
    ReceiverState.NOT_SUBSCRIBED: Status.RED,
    ReceiverState.JOURNAL_FULL: Status.YELLOW,
    ReceiverState.FAILED: Status.RED,
}


def broker_health(receiver: Reception | None, losses: BrokerLosses | None) -> StageHealth:
    """The connection that messages come over, and what the broker says it has dropped."""
    if receiver is None:
        return StageHealth("broker", Status.YELLOW, "not connected yet")
    statistics = receiver.statistics()
    word = f"{statistics.state}: {statistics.reason}" if statistics.reason else str(statistics.state)
    status = _RECEIVER_STATUS[statistics.state]
    if losses is not None and losses.since_start:
        word += f"; the broker has dropped {losses.since_start:,} messages of its clients, seen since this start"
        status = Status.YELLOW if status is Status.GREEN else status
    return StageHealth("broker", status, word)


def journal_health(journal: Journal, receiver: Reception | None) -> StageHealth:
    """Whether the journal takes what comes, and its size."""
    if receiver is not None and (statistics := receiver.statistics()).state is ReceiverState.JOURNAL_FULL:
        return StageHealth("journal", Status.RED, statistics.reason)
    return StageHealth("journal", Status.GREEN, f"{journal.size_bytes / 2**20:.1f} MiB on disk")


def engine_health(worker: EngineWorker, lag_seconds: float) -> StageHealth:
    """Whether the engine keeps up, with everything that is to be scored. `lag_seconds` is how far it is behind."""
    if worker.error is not None:
        return StageHealth("engine", Status.RED, f"stopped: {worker.error}")
    if worker.compiling:
        return StageHealth("engine", Status.YELLOW, f"compiling, once on this machine: {worker.compiling}")
    stuck = worker.stuck_seconds
    if stuck > _LAGGING_SECONDS:
        return StageHealth("engine", Status.YELLOW, f"has not finished a step for {stuck:.0f} s")
    if lag_seconds > _LAGGING_SECONDS:
        return StageHealth("engine", Status.YELLOW, f"{lag_seconds:.0f} s behind what has arrived")
    if refused := mostly_refused(worker.engine.observer.statuses):
        return StageHealth("engine", Status.YELLOW, refused)
    registry = worker.engine.registry
    admission = worker.engine.admission
    if waiting := admission.waiting:
        why = "limits.max_scored_series is reached" if admission.full else "many came at once"
        return StageHealth("engine", Status.YELLOW, f"{waiting:,} new series are stored without being scored: {why}")
    if word := registry.near_limit(_NEAR_LIMIT):
        return StageHealth("engine", Status.YELLOW, f"{word}; readings of series beyond are rejected")
    return StageHealth("engine", Status.GREEN, f"{len(registry)} series")


def store_health(worker: StoreWorker, store: EmbeddedStore) -> StageHealth:
    """Whether points are stored, and whether their series are what they seem."""
    if worker.error is not None:
        return StageHealth("store", Status.RED, f"stopped: {worker.error}")
    if worker.problem:
        return StageHealth("store", Status.RED, worker.problem)
    committed, _ = worker.ledger()
    if committed.get("conflicts", 0) > _MANY_CONFLICTS * max(1, committed.get("stored", 0)):
        return StageHealth("store", Status.YELLOW, _CONFLICTS.format(count=committed["conflicts"]))
    if (seconds := worker.seconds_writing) > _LAGGING_SECONDS:
        return StageHealth("store", Status.YELLOW, f"has been writing for {seconds:.0f} s; what came since then waits")
    return StageHealth("store", Status.GREEN, f"journal position {store.position} stored")


def notice_health(notifier: Notifier | None) -> list[StageHealth]:
    """One for each channel."""
    states = notifier.states() if notifier is not None else []
    return [
        StageHealth(f"notices {state.settings.name}", Status.YELLOW, f"{state.waiting:,} wait: {state.error}")
        if state.error
        else StageHealth(f"notices {state.settings.name}", Status.GREEN, f"{state.waiting:,} wait")
        for state in states
    ]


def sink_health(state: SinkState) -> StageHealth:
    """Whether an external database takes what it is given."""
    stage = f"sink {state.name}"
    if state.fatal is not None:
        return StageHealth(stage, Status.RED, f"ended: {state.fatal}; start again to try again")
    if state.trouble is not None:
        return StageHealth(stage, Status.YELLOW, f"{state.lag.points:,} points wait: {state.trouble}")
    if state.lag.dropped:
        word = f"{state.lag.dropped:,} points were dropped while it was away: the spool was full"
        return StageHealth(stage, Status.YELLOW, word)
    return StageHealth(stage, Status.GREEN, f"{state.lag.points:,} points wait")
