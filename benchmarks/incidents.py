"""How well incidents gather the cascades of the simulated plants; writes benchmarks/incidents.json.

    python -m benchmarks.incidents              the seeds that figures are reported on, three weeks each
    python -m benchmarks.incidents --seeds 1 2  others

Once with what the topics say alone, once with labels too: a device's `group`, and what it is `fed_by`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from firmware_sim.plants import Plant, make_plant
from firmware_sim.worlds import WORLDS

from driftline.cli.commands.backtest import read_plan
from driftline.runtime.plant_scores import SEEDS, SHORT, watch_of
from tuning.incident_score import IncidentScore, score_incidents
from tuning.names import SeedSet
from tuning.scorecard_alarms import judged

RECORD = Path(__file__).with_name("incidents.json")


def labels_of(plant: Plant) -> dict[str, dict[str, str]]:
    """What a person who knows the plant would label: groups, and the cold room or the boiler that feeds a device."""
    labels = {series.device: {"group": series.group} for series in plant.series}
    for device, known in labels.items():
        kind, _, number = device.rpartition("-")
        feeder = {"logger": f"cold-room-{number}", "room": "heating-01"}.get(kind)
        if feeder in labels:
            known["fed_by"] = feeder
    return labels


def main() -> None:
    """Score the plants, print what came out, and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS[SeedSet.REPORTING])[:2])
    parser.add_argument("--out", type=Path, default=RECORD)
    given = parser.parse_args()
    plan = read_plan(None, None)
    total = {"topics alone": IncidentScore(), "labels too": IncidentScore()}
    for seed in given.seeds:
        for world in WORLDS:
            plant = make_plant(world, seed, SHORT)
            columns = {(s.device, s.metric.name): (s.time, s.value, s.sent) for s in plant.series}
            alarms = judged(plan, columns, plant.end).alarms
            labels = labels_of(plant)
            for name, known in (("topics alone", {name: {} for name in labels}), ("labels too", labels)):
                total[name] += score_incidents(watch_of(plant), plant.labels, alarms, f"plant/{world.name}", known)
            print(f"{world.name}, seed {seed}: {len(alarms)} alarms", flush=True)
    for name, score in total.items():
        print(
            f"{name}: of {score.cascades} cascades {score.one} are one incident, a root first in {score.root}; "
            f"{score.mixed} of {score.several} incidents of several alarms are of several faults; "
            f"{score.alarms} alarms in {score.incidents} incidents"
        )
    record = {"seeds": given.seeds, "days": SHORT.days, **{name: asdict(score) for name, score in total.items()}}
    given.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
