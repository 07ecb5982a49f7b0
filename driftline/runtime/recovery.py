"""After any end of the service: the engine as it stood, from the newest snapshot and the journal behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from alerts.alarm_settings import AlarmSettings
from detectors.detector import State
from detectors.fingerprint import NEW
from devices.profile import Profile
from devices.records import DeviceRecord, SeriesRecord
from driftline.config import Config
from driftline.own_topics import routes_in_force
from driftline.runtime.memory_plan import allowed_bytes, fitted
from driftline.runtime.store_worker import flattened, unflattened
from driftline.runtime.warm_start import warm_start
from functions.function_settings import TriggerSettings
from functions.triggers import FunctionTriggers, triggers_of
from ingest.ingest_settings import OWN_PROFILES, ComponentSettings, LimitSettings, RouteSettings
from ingest.knowledge_settings import SeriesSettings
from ingest.label_settings import LabelSettings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.snapshots import SnapshotStore
from storage.store import Journal
from streams.declarations import saved_streams
from streams.definitions import Tables
from streams.stream_settings import StreamSettings, stream_targets
from streams.stream_stage import Streams

Say = Callable[[str], None]

_ALL_ALARMS = 1_000_000


def new_engine(config: Config, known: Sequence[SeriesRecord], devices: Sequence[DeviceRecord] = ()) -> Engine:
    """An engine of this configuration that has learned nothing yet."""
    limits = fitted(config.limits, allowed_bytes())
    return Engine(
        routes_in_force(config),
        config.detectors,
        config.alarm,
        limits,
        known,
        config.series,
        device_labels=config.device_labels,
        known_devices=devices,
        profiles=config.own_profiles,
        streams=streams_of(config.streams, config.stream_tables),
        functions=triggers_of(config.called, stream_targets(config.streams)),
    )


def streams_of(settings: Sequence[StreamSettings], tables: Tables) -> Streams | None:
    """The streams of a configuration; None where it has none, so that nothing is done for them."""
    return Streams(settings, tables) if settings else None


def _saved_triggers(saved: Sequence[Mapping[str, Any]]) -> FunctionTriggers | None:
    triggers = [(each["name"], TriggerSettings.model_validate(each["trigger"])) for each in saved]
    return FunctionTriggers(triggers) if triggers else None


def restored_engine(
    config: Config, store: EmbeddedStore, journal: Journal, snapshots: SnapshotStore, say: Say
) -> Engine:
    """The engine at the newest usable snapshot; stepping on through the journal gives what an undisturbed run has.

    What was committed under other settings than the present ones is stepped through under those, so that a change of
    the configuration takes effect at the journal position where the store stands. Every loss is said. Raises
    StorageCorruptError where nothing that is left can be relied on.
    """
    _mend(journal, store, say)
    saved = snapshots.load(at_most=store.position)
    if saved is None:
        return _relearned(config, store, journal, say)
    for warning in saved.warnings:
        say(warning)
    parts = unflattened(saved.parts)
    engine = new_engine(config, store.all_series(), store.devices())
    if saved.position < journal.first_position:
        say(
            f"journal positions {saved.position} to {journal.first_position} are lost: "
            "what was in them is not learned, but stored where the database had it already"
        )
        say_anew(_load(engine, saved.position, parts, saved.meta, say), say)
        engine.stand_at(journal.first_position)
        return _agreed(engine, store, journal)
    same = saved.meta.get("settings") == engine.settings
    before = engine if same else engine_of_settings(saved.meta.get("settings"), store.all_series()) or engine
    unfit = _load(before, saved.position, parts, saved.meta, say)
    if before is engine and not unfit:
        return engine
    _step_to(before, store.position, journal)
    engine = _taken_over(config, before, unfit, parts, store, say)
    # Saved before anything is stored under the new settings: from here on they are what the journal is read with.
    arrays, rest = engine.state()
    snapshots.save(engine.position, "", flattened(arrays), rest)
    if not same:
        say(f"the configuration has changed: in force from journal position {engine.position}")
    return engine


def _taken_over(
    config: Config,
    before: Engine,
    unfit: Mapping[str, str],
    parts: Mapping[str, State],
    store: EmbeddedStore,
    say: Say,
) -> Engine:
    """An engine of the configuration that goes on from where `before` stands, with stored history where it cannot.

    `unfit` are detectors whose saved state, in `parts`, `before` could not use: what they have learned since counts for
    little beside what is stored, and alarms are taken as the store has them.
    """
    arrays, rest = before.state()
    of_unfit = tuple(f"detectors/{name}|" for name in unfit)
    kept = {name: state for name, state in arrays.items() if not (of_unfit and name.startswith(of_unfit))}
    engine = new_engine(config, store.all_series(), store.devices())
    anew = engine.load(before.position, kept, rest)
    if unfit:
        _adopt_stored_alarms(engine, store)
    say_anew({name: unfit.get(name, reason) for name, reason in anew.items()}, say, _saved_detectors(parts))
    warm_start(engine, anew, {**parts, **arrays}, store, say)
    return engine


def _mend(journal: Journal, store: EmbeddedStore, say: Say) -> None:
    """A journal that ends before what is stored has lost its tail: go on behind it, so that no position comes twice."""
    lost = store.position - journal.next_position
    if lost > 0:
        say(
            f"{journal.place} has lost its newest {lost} entries, which are stored in {store.path} already: "
            f"going on from position {store.position}; messages acknowledged and not stored yet would be lost"
        )
        journal.go_on_from(store.position, store.counts().get("messages", 0))


def _relearned(config: Config, store: EmbeddedStore, journal: Journal, say: Say) -> Engine:
    """Without a snapshot: everything that the journal still holds."""
    engine = new_engine(config, store.all_series(), store.devices())
    engine.stand_at(journal.first_position)
    if engine.position or store.position:
        say(
            "no snapshot of the learned state can be used: "
            f"learning again from the journal's oldest entry, {engine.position}"
        )
    return engine if engine.position == 0 else _agreed(engine, store, journal)


def _agreed(engine: Engine, store: EmbeddedStore, journal: Journal) -> Engine:
    """Step to where the store stands, and take the alarms as the store has them, since a part of the past is gone."""
    _step_to(engine, store.position, journal)
    _adopt_stored_alarms(engine, store)
    return engine


def _adopt_stored_alarms(engine: Engine, store: EmbeddedStore) -> None:
    alarms = store.alarms(limit=_ALL_ALARMS)
    open_alarms, judged = [a for a in alarms if a.cleared is None], [a for a in alarms if a.feedback]
    engine.adopt_alarms(open_alarms, max((a.alarm for a in alarms), default=0) + 1, judged)


def _step_to(engine: Engine, position: int, journal: Journal) -> None:
    """Step through entries whose outputs are stored already."""
    for entry in journal.read(engine.position):
        if entry.position >= position:
            break
        engine.step(entry)


def engine_of_settings(settings: Mapping[str, Any] | None, known: Sequence[SeriesRecord]) -> Engine | None:
    """An engine by `Engine.settings` as a snapshot keeps them; None where they are of a version that cannot be read."""
    if settings is None:
        return None
    try:
        profiles = [Profile.model_validate(profile) for profile in settings.get("profiles", ())]
        own = {OWN_PROFILES: [profile.name for profile in profiles]}
        return Engine(
            [RouteSettings.model_validate(route, context=own) for route in settings["routes"]],
            {name: ComponentSettings.model_validate(chosen) for name, chosen in settings["detectors"].items()},
            AlarmSettings.model_validate(settings["alarm"]),
            LimitSettings.model_validate(settings["limits"]),
            known,
            [SeriesSettings.model_validate(each) for each in settings.get("series", ())],
            device_labels=[LabelSettings.model_validate(rule) for rule in settings.get("device_labels", ())],
            profiles=profiles,
            streams=streams_of(*saved_streams(settings.get("streams", ()))),
            functions=_saved_triggers(settings.get("functions", ())),
        )
    except (ValidationError, ValueError, KeyError, TypeError):
        return None


def say_anew(anew: Mapping[str, str], say: Say, saved: Collection[str] = ()) -> None:
    """A line for each detector that starts anew, with the reason, or that is new: none of that name was `saved`."""
    for name, reason in anew.items():
        if reason != NEW:
            say(f'detector "{name}" starts anew: {reason}')
        elif name in saved:
            say(f'detector "{name}" starts anew: its state was saved by an earlier version, which this one cannot read')
        else:
            say(f'detector "{name}" is new')


def _saved_detectors(parts: Mapping[str, State]) -> set[str]:
    """Names of the detectors that a snapshot has states of; its parts were called otherwise in earlier versions."""
    named = (part.split("|")[0].partition("/") for part in parts)
    return {name for kind, _, name in named if kind in ("detectors", "fleet", "rows")}


def _load(
    engine: Engine, position: int, parts: Mapping[str, State], meta: Mapping[str, Any], say: Say
) -> Mapping[str, str]:
    """Let the engine take over a snapshot; returns the detectors that cannot use it, and why."""
    try:
        return engine.load(position, parts, meta)
    except (KeyError, ValueError) as error:
        say(f"the saved state is of a version that this one cannot read ({error}): all is learned anew")
        engine.stand_at(position)
        return dict.fromkeys(engine.host.names, "its saved state cannot be read")
