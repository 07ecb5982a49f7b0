"""`driftline score`: how well the detectors find faults that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from driftline.cli.commands.backtest import print_card, progress, read_plan
from driftline.cli.console import CommandError, ConfigOption, Exit
from tuning.names import SeedSet


def score(
    worlds: Annotated[
        list[str] | None, typer.Option("--world", "-w", metavar="NAME", help="Only this world; repeatable.")
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="One seed, three weeks: for a first look, and for CI.")
    ] = False,
    seeds: Annotated[
        SeedSet, typer.Option("--seeds", help="Those to choose constants on, or those to report figures on.")
    ] = SeedSet.TUNING,
    detector: Annotated[
        str | None,
        typer.Option("--detector", metavar="NAME", help="A detector of the configuration, or a type by its defaults."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write everything to a JSON file too.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; one for each core where not given.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Score the configured detectors on simulated plants whose faults are known.

    Says, by kind of fault, world and detector: the share of faults found, of recurrences, the delay, the share of a
    fault's time with an alarm open, alarms a fault, false alarms a sensor and week, precision, recall and F1, with 95 %
    intervals.

    Example: driftline score --short
    """
    from driftline.runtime.plant_scores import SEEDS, jobs_for, score_plants
    from tuning.scorecard_tables import as_json, cards

    plan = read_plan(config, detector)
    try:
        jobs = jobs_for(SEEDS[seeds], worlds=worlds or (), short=short)
    except ValueError as error:
        raise CommandError(f"--world: {error}", code=Exit.USAGE) from None
    with progress(len(jobs), "plants") as advance:
        found = score_plants(plan, jobs, workers=workers, done=advance)
    used = sorted({job.seed for job in jobs})
    title = f"Score card: {seeds.value} seeds {', '.join(map(str, used))}, {jobs[0].options.days} days each"
    for card in cards(found, title=title):
        print_card(card)
    if out is not None:
        about = {
            "seeds": used,
            "seed_set": seeds.value,
            "days": jobs[0].options.days,
            "detector": detector or "as configured",
        }
        out.write_text(json.dumps(as_json(found, about), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
