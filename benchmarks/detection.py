"""How well the shipped detectors detect: ablations over the corpora, and pictures of hits and misses.

    python -m benchmarks.detection CORPORA --tables         one row a detector: NAB, UCR, SKAB, alarms
    python -m benchmarks.detection CORPORA --pictures DIR   SVG of the cases named in CASES

CORPORA is a folder that holds nab/, ucr-dev/ and skab/.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ingest.ingest_settings import ComponentSettings
from tuning import nab, ucr
from tuning.backtest import Plan, score_recording
from tuning.pictures import draw
from tuning.recordings import open_recording
from tuning.runs import EVERY, Outcome, run_all
from tuning.track import Track

VARIANTS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("default", "ensemble", {}),
    ("default without shape", "ensemble", {"shape": False}),
    ("novelty alone", "novelty", {}),
    ("rarity alone", "rarity", {}),
    ("level alone", "level", {}),
    ("forecast alone", "forecast", {}),
    ("shape alone", "shape", {}),
    ("z-score", "zscore", {}),
    ("half-space trees", "half_space_trees", {}),
)
"""Name in the table, detector, parameters."""


@dataclass(frozen=True)
class Case:
    """A picture: `file` of the corpus `of` (nab or ucr), rows `first` to `last` where not all of it."""

    name: str
    of: str
    file: str
    first: int = 0
    last: int | None = None


CASES = (
    Case("ambient", "nab", "realKnownCause/ambient_temperature_system_failure.csv"),
    Case("database_load", "nab", "realAWSCloudwatch/rds_cpu_utilization_e47b3b.csv"),
    Case("spike_density", "nab", "artificialWithAnomaly/art_increase_spike_density.csv"),
    Case("blood_pressure", "ucr", "CHARISfive", 14_000, 16_000),
    Case("machine", "nab", "realKnownCause/machine_temperature_system_failure.csv"),
    Case("taxi", "nab", "realKnownCause/nyc_taxi.csv"),
    Case("missing_peak", "nab", "artificialWithAnomaly/art_daily_nojump.csv"),
    Case("keystrokes", "nab", "realKnownCause/rogue_agent_key_updown.csv"),
    Case("tweets", "nab", "realTweets/Twitter_volume_IBM.csv"),
    Case("insect", "ucr", "insectEPG3", 6_000, 9_997),
)


def tables(corpora: Path) -> None:
    """Print a table in Markdown: a row for each variant."""
    print(
        "| detector | NAB standard | low FP | low FN | windows with an alarm | alarms outside, per file | UCR top-1 |"
    )
    print("|---|---|---|---|---|---|---|")
    labelled = ucr.labels(corpora / "ucr-dev")
    for name, kind, parameters in VARIANTS:
        plan = Plan(detectors={"default": ComponentSettings.model_validate({"type": kind, **parameters})})
        with TemporaryDirectory() as folder:
            on_nab = run_all(plan, nab.jobs(corpora / "nab", Path(folder)))
            on_ucr = run_all(plan, ucr.jobs(corpora / "ucr-dev", Path(folder)))
        windows = nab.windows_of(corpora / "nab", on_nab)
        scores = " | ".join(f"{result.score:.1f}" for result in nab.score(on_nab, windows))
        told = nab.alarms(on_nab, windows)
        top = np.mean([hit.hit for hit in ucr.score(on_ucr, labelled)])
        print(f"| {name} | {scores} | {told.share:.0%} | {told.outside_per_file:.1f} | {top:.3f} |", flush=True)


def pictures(corpora: Path, folder: Path) -> None:
    """Draw every case into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        track, windows = _case(corpora, case)
        picture = draw(
            case.file, track.value[:, 0], track.anomaly_score, track.openings.tolist(), windows,
            first=case.first, last=case.last, tolerance=ucr.TOLERANCE if case.of == "ucr" else 0,
        )  # fmt: skip
        (folder / f"{case.name}.svg").write_text(picture, encoding="utf-8")


def _case(corpora: Path, case: Case) -> tuple[Track, list[tuple[int, int]]]:
    if case.of == "ucr":
        label = next(label for label in ucr.labels(corpora / "ucr-dev") if label.name == case.file)
        path = next(job.path for job in ucr.jobs(corpora / "ucr-dev", corpora) if job.name == case.file)
        track = score_recording(Plan(), open_recording(path, every=EVERY))
        return track, [(label.start, label.end)]
    track = score_recording(Plan(), open_recording(corpora / "nab" / "data" / case.file))
    outcome = Outcome(
        case.file, track.time, track.anomaly_score, track.device_anomaly, track.openings, len(track), 0, True, 0.0
    )
    return track, nab.windows_of(corpora / "nab", {case.file: outcome})[case.file]


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--pictures", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.tables:
        tables(chosen.corpora)
    if chosen.pictures:
        pictures(chosen.corpora, chosen.pictures)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
