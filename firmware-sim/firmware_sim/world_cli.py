"""Before stage 1 of 7: the command line of a simulated world."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from pydantic import ValidationError

from common.durations import parse_duration
from firmware_sim.plant_export import export_plant
from firmware_sim.plants import PlantOptions, make_plant
from firmware_sim.world_settings import WorldSettings
from firmware_sim.worlds import find_world


def world_parser(program: str) -> argparse.ArgumentParser:
    """The options: one for each field of WorldSettings."""
    options = argparse.ArgumentParser(prog=program, description="A simulated world with labelled faults.")
    for name, field in WorldSettings.model_fields.items():
        default = "" if field.is_required() or field.default is None else f" (default: {field.default})"
        options.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            metavar=name.upper(),
            help=f"{field.description}{default}".replace("%", "%%"),
        )
    return options


def world_main(argv: Sequence[str], *, program: str) -> int:
    """Simulate a world; 0 when it is done, 2 for unusable settings."""
    try:
        settings = WorldSettings(**vars(world_parser(program).parse_args(argv)))
    except ValidationError as error:
        for problem in error.errors():
            option = "--" + str(problem["loc"][0]).replace("_", "-") + ": " if problem["loc"] else ""
            _say(f"{option}{problem['msg'].removeprefix('Value error, ')}")
        return 2
    try:
        return _export(settings)
    except OSError as error:
        _say(str(error))
        return 2


def _export(settings: WorldSettings) -> int:
    begun = time.monotonic()
    interval = None if settings.interval is None else parse_duration(settings.interval) / 1e9
    options = PlantOptions(settings.days, settings.learning_days, settings.size, settings.sick, interval)
    if settings.export is None:
        _say("--export: expected a folder")
        return 2
    plant = make_plant(find_world(settings.world), settings.seed, options)
    export_plant(plant, settings.export, settings.format, prefix=settings.prefix)
    devices = len({series.device for series in plant.series})
    faults = len({label.root for label in plant.labels if label.expected == "alarm"})
    took = time.monotonic() - begun
    _say(f"{settings.export}: {devices} devices, {plant.readings:,} readings, {faults} faults, in {took:.1f} s")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
