"""The generated page about the simulator: its worlds and its kinds of faults, from themselves."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_sim.fault_kinds import FAULT_KINDS
from firmware_sim.fault_kinds.fault_kind import FaultKind
from firmware_sim.payload_style import PayloadStyle
from firmware_sim.payload_styles import STYLES
from firmware_sim.worlds import WORLDS
from firmware_sim.worlds.surroundings import Surroundings
from firmware_sim.worlds.world import DeviceTruth, Metric, PlantFaults, World

from devices.fault_labels import Expected
from driftline.reference.reference_settings import GENERATED

MONDAY = 1_772_406_000_000_000_000
_EXPECTED = {Expected.ALARM: "an alarm", Expected.SILENCE: "silence", Expected.EITHER: "either"}


def simulator_page() -> str:
    """docs/reference/simulator.md."""
    parts = [
        GENERATED,
        "# Worlds and faults of the simulator",
        "[The guide](../simulator.md) tells how to run them, and how detectors are scored on them.",
        "## Worlds",
        *(part for world in WORLDS for part in _world(world)),
        "## Faults of sensors and of the way",
        "Sizes are in usual scatters: how much the metric scatters about its course of the day. What comes again does "
        "so at random times, as large as before.",
        _kinds(),
        "## How devices write",
        "\n".join(["| `--payload` | what | time |", "|---|---|---|", *(_style_row(style) for style in STYLES)]),
    ]
    return "\n\n".join(parts) + "\n"


def _style_row(style: PayloadStyle) -> str:
    text = (type(style).__doc__ or "").strip().splitlines()[0]
    carries = "in the payload" if style.carries_time else "of arrival"
    return f"| `{style.name}` | {text} | {carries} |"


def _world(world: World) -> list[str]:
    around = Surroundings(MONDAY, 3600.0, 48, 1)
    devices = world.simulate(around, PlantFaults((), around.seconds), 1)
    faults = [
        f"| {kind.name} | {kind.summary} | {_hours(kind.shortest, kind.longest)} | "
        f"{'grows' if kind.grows else 'at once'} |"
        for kind in world.plant_faults
    ]
    return [
        f"### `{world.name}`",
        f"{(type(world).__doc__ or '').strip()} A reading every {world.interval:g} s.",
        "\n".join(["| devices | metrics |", "|---|---|", *_device_rows(devices)]),
        "\n".join(["| fault of the plant | what it does | lasts | |", "|---|---|---|---|", *faults]),
        "Magnitudes: " + "; ".join(world.sources) + ".",
    ]


def _device_rows(devices: Sequence[DeviceTruth]) -> list[str]:
    by_kind: dict[str, list[DeviceTruth]] = {}
    for one in devices:
        by_kind.setdefault(one.kind, []).append(one)
    return [
        f"| {len(members)} `{kind}` | {', '.join(_metric(metric) for metric in members[0].metrics)} |"
        for kind, members in by_kind.items()
    ]


def _metric(metric: Metric) -> str:
    unit = f" ({metric.unit})" if metric.unit else ""
    signal = "" if metric.signal == "measurement" else f", a {metric.signal.value}"
    return f"{metric.name}{unit}{signal}" + (", on change" if metric.report_change is not None else "")


def _kinds() -> str:
    rows = [
        f"| {kind.name} | {kind.summary} | {', '.join(signal.value for signal in kind.signals)} | {_lasts(kind)} | "
        f"{_range(*kind.occurrences)} | {_EXPECTED[kind.expected]} |"
        for kind in FAULT_KINDS
    ]
    return "\n".join(
        ["| kind | what | of | lasts | times | a good detector gives |", "|---|---|---|---|---|---|", *rows]
    )


def _lasts(kind: FaultKind) -> str:
    if kind.most_readings is not None:
        return f"{_range(kind.least_readings, kind.most_readings)} readings"
    return "for good" if kind.permanent else _hours(*kind.hours)


def _hours(shortest: float, longest: float) -> str:
    if longest >= 72:
        return f"{_range(round(shortest / 24), round(longest / 24))} days"
    return f"{shortest:g} to {longest:g} h"


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"
