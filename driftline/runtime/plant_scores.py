"""The score card: plants of every world under fixed seeds, scored by the configuration."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace

from firmware_sim.plants import Plant, PlantOptions, make_plant
from firmware_sim.worlds import WORLDS, find_world

from ingest.knowledge_settings import SeriesSettings
from tuning.backtest import Plan
from tuning.missed_faults import with_causes
from tuning.names import SeedSet
from tuning.scorecard import Score, Watch, score_alarms
from tuning.scorecard_alarms import judged

SEEDS = {SeedSet.TUNING: (1, 2, 3, 4), SeedSet.REPORTING: (101, 102, 103, 104)}
FULL = PlantOptions()
SHORT = PlantOptions(days=21, learning_days=6)
"""For one seed: what CI runs."""


@dataclass(frozen=True, slots=True)
class PlantJob:
    """One plant to make and to score."""

    world: str
    seed: int
    options: PlantOptions


def jobs_for(seeds: Sequence[int], *, worlds: Sequence[str] = (), short: bool = False) -> list[PlantJob]:
    """The plants of the worlds named, else all, under each seed; in the short form the first seed's alone.

    Raises ValueError for a world that is not known.
    """
    chosen = [find_world(name) for name in worlds] or list(WORLDS)
    options, taken = (SHORT, seeds[:1]) if short else (FULL, seeds)
    return [PlantJob(world.name, seed, options) for seed in taken for world in chosen]


def score_plants(
    plan: Plan, jobs: Sequence[PlantJob], *, workers: int | None = None, done: Callable[[object], None] = lambda _: None
) -> Score:
    """Make and score the plants, one process a core; `done` is called after each."""
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    scores: dict[PlantJob, Score] = {}
    if workers <= 1:
        for job in jobs:
            scores[job] = score_plant(plan, job)
            done(job)
    else:
        # Started anew rather than forked: a fork would take over the progress display's thread and its locks.
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            job_of = {pool.submit(score_plant, plan, job): job for job in jobs}
            for future in as_completed(job_of):
                scores[job_of[future]] = future.result()
                done(future)
    return sum((scores[job] for job in jobs), Score())


def score_plant(plan: Plan, job: PlantJob) -> Score:
    """Make one plant and score it by the plan; its hours and days are those of the plant's clocks."""
    plant = make_plant(find_world(job.world), job.seed, job.options)
    plan = replace(plan, series=[*plan.series, SeriesSettings(plant_time_zone=plant.around.zone)])
    columns = {(s.device, s.metric.name): (s.time, s.value, s.sent) for s in plant.series}
    found = judged(plan, columns, plant.end)
    return with_causes(score_alarms(watch_of(plant), plant.labels, found.alarms), found.alarms, found.scored)


def watch_of(plant: Plant) -> Watch:
    """What there was to watch in a plant."""
    times = {(s.device, s.metric.name): s.time for s in plant.series}
    return Watch(plant.world, times, plant.start, plant.end, plant.learned_by)
