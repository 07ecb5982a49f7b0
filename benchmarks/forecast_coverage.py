"""How often readings lie within the forecast's band: `python -m benchmarks.forecast_coverage CORPORA`.

CORPORA is a folder with `nab` and `wsd-dev`. At even times of each series forecasts are made from what was before
alone, and compared with every reading that follows within the horizon.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.time_units import DAY, SECOND
from detectors.horizon import LEADS, NoForecastError, forecast, in_steps

HORIZONS = {"1 h": 3600, "6 h": 6 * 3600, "24 h": 24 * 3600}
LONGEST_DAYS = 28
LEAST_LEADS = 4
Columns = tuple[NDArray[np.int64], NDArray[np.float64]]


def read_series(path: Path) -> Columns:
    """Times, ns, and values of a CSV file with the columns `timestamp` and `value`."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
    time = [int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()) * SECOND for at, _ in rows]
    order = np.argsort(time, kind="stable")
    return np.array(time, np.int64)[order], np.array([value for _, value in rows])[order]


def tried(columns: Columns, horizon: int, times: int) -> Iterator[tuple[str, float, float, float]]:
    """Of each forecast: model, share of readings in the band, mean error, and that of the newest value kept."""
    time, value = columns
    step = horizon * SECOND // LEADS
    cadence = int(np.median(np.diff(time)))
    while step < cadence:
        step *= 2
    leads = horizon * SECOND // step
    if leads < LEAST_LEADS:
        return
    span = LEADS * 3 * step
    for end in np.linspace(int(time[0]) + span, int(time[-1]) - horizon * SECOND, times).astype(np.int64).tolist():
        row = int(np.searchsorted(time, end))
        steps = min((end - int(time[0])) // step, LONGEST_DAYS * DAY // step)
        try:
            made = forecast(in_steps(time[:row], value[:row], end, step, steps), leads)
        except NoForecastError:
            continue
        last = int(np.searchsorted(time, end + horizon * SECOND))
        if last == row:
            continue
        lead = np.minimum((time[row:last] - end) // step, leads - 1)
        actual = value[row:last]
        inside = (actual >= made.lower[lead] - 1e-12) & (actual <= made.upper[lead] + 1e-12)
        yield (
            made.model,
            float(np.mean(inside)),
            float(np.mean(np.abs(actual - made.expected[lead]))),
            float(np.mean(np.abs(actual - value[row - 1]))),
        )


def _mean(rows: Sequence[tuple[str, float, float, float]], column: int) -> float:
    return float(np.mean([row[column] for row in rows]))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.forecast_coverage", description=__doc__)
    options.add_argument("corpora", type=Path)
    options.add_argument("--times", type=int, default=20, help="Forecasts of each series and horizon")
    given = options.parse_args(argv)
    sets = {
        "NAB": sorted((given.corpora / "nab" / "data").rglob("*.csv")),
        "wsd": sorted((given.corpora / "wsd-dev").glob("*.csv.gz")),
    }
    print("| corpus | horizon | series | forecasts | readings in the 80 % band | error, of that of the newest value |")
    print("|---|---|---|---|---|---|")
    for name, files in sets.items():
        loaded = [read_series(path) for path in files if path.name != "index.csv"]
        for label, horizon in HORIZONS.items():
            found = [[*tried(columns, horizon, given.times)] for columns in loaded]
            rows = [row for one in found for row in one]
            inside = _mean(rows, 1)
            ratio = np.median([_mean(one, 2) / max(_mean(one, 3), 1e-12) for one in found if one])
            count = sum(bool(one) for one in found)
            print(f"| {name} | {label} | {count} | {len(rows):,} | {inside:.1%} | {ratio:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
