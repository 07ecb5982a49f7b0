"""`driftline score`: how well the detectors find faults that are known."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.commands.backtest import print_card, progress, read_plan
from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder
from driftline.cli.tables import counted
from tuning.names import SeedSet

if TYPE_CHECKING:
    from tuning.backtest import Plan
    from tuning.scorecard import Score

    Scored = tuple[Score, str, Mapping[str, Any]]


SECONDS_A_DAY = 0.8
"""What one simulated day of a plant takes of a core, to make and to score; measured, and only for the first guess."""

WorldsOption = Annotated[
    list[str] | None, typer.Option("--world", "-w", metavar="NAME", help="Only this world; repeatable.")
]
ShortOption = Annotated[bool, typer.Option("--short", help="One seed, three weeks: for a first look, and for CI.")]
SeedsOption = Annotated[
    SeedSet, typer.Option("--seeds", help="Those to choose constants on, or those to report figures on.")
]
DetectorOption = Annotated[
    str | None,
    typer.Option("--detector", metavar="NAME", help="A detector of the configuration, or a type by its defaults."),
]
AlarmsOption = Annotated[
    Path | None,
    typer.Option(
        "--alarms",
        metavar="FILE",
        help="Score these alarms instead: a CSV of device, metric, from, to; with --truth.",
    ),
]
LiveOption = Annotated[
    bool, typer.Option("--live", help="Score the alarms of the data folder against its simulated fleet's faults.")
]
TruthOption = Annotated[
    Path | None,
    typer.Option("--truth", metavar="PATH", help="An exported plant's folder, or a CSV of labels."),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write everything to a JSON file too.")
]
DetailsOption = Annotated[
    Path | None,
    typer.Option("--details", metavar="DIR", help="Write each fault and each alarm to faults.csv and alarms.csv."),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; one for each core where not given.")
]


def score(
    worlds: WorldsOption = None,
    short: ShortOption = False,
    seeds: SeedsOption = SeedSet.TUNING,
    detector: DetectorOption = None,
    alarms: AlarmsOption = None,
    live: LiveOption = False,
    truth: TruthOption = None,
    out: OutOption = None,
    details: DetailsOption = None,
    workers: WorkersOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Score detectors on faults that are known: on simulated plants, of a running demo, or of any product's alarms.

    Says, by kind of fault, world and detector: the share of faults found, of recurrences, the delay, the share of a
    fault's time with an alarm open, alarms a fault, false alarms a sensor and week, precision, recall and F1, with 95 %
    intervals.

    Without arguments it makes four plants of each world, five weeks each, and scores the configured detectors on them,
    which takes some minutes; --short takes about one. What you have stored is not touched.

    Example: driftline score --short
    """
    from tuning.scorecard_details import write_details
    from tuning.scorecard_tables import as_json, cards

    try:
        if alarms is not None:
            found, title, about = _given_alarms(alarms, truth)
        elif live:
            found, title, about = _live(data_folder(config, data), truth)
        else:
            found, title, about = _plants(read_plan(config, detector), worlds or (), short, seeds, workers)
    except (ValueError, OSError) as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    for card in cards(found, title=title):
        print_card(card)
    if details is not None:
        write_details(found, details)
    if out is not None:
        document = as_json(found, {**about, "detector": detector or "as configured"})
        out.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _plants(plan: Plan, worlds: Sequence[str], short: bool, seeds: SeedSet, workers: int | None) -> Scored:
    from driftline.runtime.plant_scores import SEEDS, jobs_for, score_plants

    jobs = jobs_for(SEEDS[seeds], worlds=worlds, short=short)
    days = jobs[0].options.days
    print(_announced(len(jobs), days, workers, short=short), file=sys.stderr, flush=True)
    with progress(len(jobs), "plants") as advance:
        found = score_plants(plan, jobs, workers=workers, done=_counted(len(jobs), advance))
    used = sorted({job.seed for job in jobs})
    tuned = list(SEEDS[SeedSet.TUNING])
    title = f"Score card: {seeds.value} seeds {', '.join(map(str, used))}, {days} days each"
    if seeds is SeedSet.REPORTING:
        title += f"; constants were chosen on others: {', '.join(map(str, tuned))}"
    return found, title, {"seed_set": seeds.value, "seeds": used, "tuning_seeds": tuned, "days": days}


def _announced(plants: int, days: float, workers: int | None, *, short: bool) -> str:
    """What is about to run, and how long it takes."""
    processes = min(workers or os.cpu_count() or 1, plants)
    seconds = plants * days * SECONDS_A_DAY / processes
    text = f"Scoring the detectors on {counted(plants, 'simulated plant')} of {days:g} days, {processes} at a time"
    text += f": {_about(seconds)}. Your own data are not touched; Ctrl-C stops it."
    return text if short else f"{text} --short is quicker."


def _about(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"about {counted(minutes, 'minute')}" if minutes else "less than a minute"


def _counted(total: int, advance: Callable[[object], None]) -> Callable[[object], None]:
    """`advance`, and where no terminal shows its bar, a line for each plant that is done with the time that is left."""
    begun, done = time.monotonic(), 0

    def count(one: object) -> None:
        nonlocal done
        done += 1
        advance(one)
        if not sys.stderr.isatty():
            seconds = (time.monotonic() - begun) / done * (total - done)
            left = f", {_about(seconds)} left" if done < total else ""
            print(f"{done} of {counted(total, 'plant')}{left}", file=sys.stderr, flush=True)

    return count


def _given_alarms(alarms: Path, truth: Path | None) -> Scored:
    from tuning.plant_folder import read_alarms, read_plant
    from tuning.scorecard import score_alarms

    if truth is None:
        raise CommandError(
            "--alarms: expected --truth too, an exported plant's folder or a CSV of labels", code=Exit.USAGE
        )
    watch, labels = read_plant(truth)
    found = score_alarms(watch, labels, read_alarms(alarms, end=watch.end))
    return found, f"Score card of {alarms}", {"alarms": alarms.name, "truth": truth.name}


def _live(folder: Path, truth: Path | None) -> Scored:
    from devices.fault_labels import read_labels
    from driftline.cli.client import query
    from driftline.runtime.data_folder import DataFolder
    from tuning.live_scores import score_live

    file = truth or DataFolder(folder).simulator / "labels.csv"
    if not file.is_file():
        raise ValueError(f"{file}: no labels; start `driftline up --demo`, or name a file with --truth")
    found = score_live(lambda sql, most: query(folder, sql, limit=most).rows, read_labels(file))
    return found, "Score card of the simulated fleet so far", {"live": True}
