"""The command line of a simulated world."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from common.durations import parse_duration
from devices.fault_labels import Expected
from firmware_sim.injection import Injection, ask
from firmware_sim.plant_export import export_plant
from firmware_sim.plants import PlantOptions, make_plant
from firmware_sim.publisher import UNREACHABLE, BrokerAddress
from firmware_sim.stopping import stopped_by_signals
from firmware_sim.world_run import WorldRun
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
    options.add_argument("--parent-pid", type=int, metavar="PID", help="End when this process has ended")
    return options


def world_main(argv: Sequence[str], *, program: str) -> int:
    """Simulate a world; 0 when it is done, 2 for unusable settings, 3 where no device could connect."""
    try:
        given = vars(world_parser(program).parse_args(argv))
        parent = given.pop("parent_pid")
        settings = WorldSettings(**given)
    except ValidationError as error:
        for problem in error.errors():
            option = "--" + str(problem["loc"][0]).replace("_", "-") + ": " if problem["loc"] else ""
            _say(f"{option}{problem['msg'].removeprefix('Value error, ')}")
        return 2
    try:
        return _live(settings, parent) if settings.export is None else _export(settings, settings.export)
    except OSError as error:
        _say(str(error))
        return 2


def _live(settings: WorldSettings, parent: int | None) -> int:
    run = WorldRun(settings, say=_say, show_progress=sys.stderr.isatty())
    with stopped_by_signals(run.request_stop, parent):
        run.run()
    counts = run.counts
    _say(
        f"simulator stopped: {counts.messages} messages of {counts.devices} devices, "
        f"{counts.acknowledged} acknowledged, {counts.faults} faults"
    )
    if counts.devices and not counts.connections:
        _say(f"no broker answered at {BrokerAddress.parse(settings.url)}")
        return UNREACHABLE
    return 0


def _export(settings: WorldSettings, folder: Path) -> int:
    begun = time.monotonic()
    interval = None if settings.interval is None else parse_duration(settings.interval) / 1e9
    options = PlantOptions(settings.days, settings.learning_days, settings.size, settings.sick, interval)
    plant = make_plant(find_world(settings.world), settings.seed, options)
    export_plant(plant, folder, settings.format, prefix=settings.prefix)
    devices = len({series.device for series in plant.series})
    faults = len({label.root for label in plant.labels if label.expected is Expected.ALARM})
    took = time.monotonic() - begun
    _say(f"{folder}: {devices} devices, {plant.readings:,} readings, {faults} faults, in {took:.1f} s")
    return 0


def inject_main(argv: Sequence[str], *, program: str) -> int:
    """Ask the simulators on a broker for a fault; 0 when one of them begins it, 1 where none has the device."""
    options = argparse.ArgumentParser(prog=f"{program} inject", description="Let a fault begin on a simulated device.")
    options.add_argument("device", metavar="DEVICE", help="As the simulator names it, such as press-01")
    options.add_argument(
        "fault", metavar="FAULT", help="A kind of fault, such as stuck, or 'coolant loss' of the plant"
    )
    options.add_argument("--metric", default="", help="The metric; the first that suits where not given")
    options.add_argument("--duration", help="How long it lasts (default: 2m; of the plant, as long as usual for it)")
    options.add_argument(
        "--size", type=float, default=10.0, help="Of a sensor's fault, in usual scatters (default: 10)"
    )
    options.add_argument("--url", default="mqtt://127.0.0.1:1883", help="Broker: mqtt://[user:password@]host:port")
    given = options.parse_args(argv)
    try:
        seconds = None if given.duration is None else parse_duration(given.duration) / 1e9
        wanted = Injection(given.device, given.fault, given.metric, seconds, given.size)
        answer = ask(BrokerAddress.parse(given.url), wanted)
    except (ValueError, OSError) as error:
        _say(str(error))
        return 2
    _say(answer or f"no simulator at {given.url} has a device {given.device!r}")
    return 1 if answer is None else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
