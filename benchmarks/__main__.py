"""`python -m benchmarks`: run the measurements, print the table, write `benchmarks/results.json`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import archive_group as archive
from benchmarks import devices_page, scaling, starting, sustained
from benchmarks import kernels_group as kernels
from benchmarks import messages_group as messages
from benchmarks import stores_group as stores
from benchmarks import streams_group as streams
from benchmarks import tracing_group as tracing
from benchmarks.figures import Figures
from benchmarks.processes import NoBrokerError
from benchmarks.setting import Setting

RESULTS = Path(__file__).with_name("results.json")

GROUPS: tuple[tuple[str, Callable[[Setting], object]], ...] = (
    ("messages", messages.run),
    ("sustained", sustained.run),
    ("kernels", kernels.run),
    ("scaling", scaling.run),
    ("stores", stores.run),
    ("archive", archive.run),
    ("streams", streams.run),
    ("tracing", tracing.run),
    ("starting", starting.run),
    ("devices", devices_page.run),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the groups asked for; returns the exit code. A target that is missed is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=[name for name, _ in GROUPS], nargs="+", help="these groups only")
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure (default 3)")
    parser.add_argument(
        "--long", action="store_true", help="5 minutes of load, 100 million points in database and archive"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write the results")
    parser.add_argument("--folder", type=Path, help="where to write data meanwhile (default: a temporary folder)")
    chosen = parser.parse_args(arguments)

    console = Console(width=max(120, Console().width))
    folder = Path(tempfile.mkdtemp(prefix="driftline-bench-", dir=chosen.folder))
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    # Compiled kernels of its own, so that nobody else's change or cleaning falls into a run.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder / "kernels"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    setting = Setting(folder, Figures(), chosen.runs, chosen.long, say)
    try:
        for name, run in GROUPS:
            if not chosen.only or name in chosen.only:
                run(setting)
                _write(chosen.results, setting.figures, time.monotonic() - began)
    except NoBrokerError as error:
        console.print(f"[red]{error}[/]")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    setting.figures.show(console)
    console.print(f"{_processor()}, {os.cpu_count()} cores; {time.monotonic() - began:.0f} s")
    return 0


def _write(results: Path, figures: Figures, seconds: float) -> None:
    """Write the rows measured; those of groups that were not run stay as they are."""
    machine = {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "load_average_at_end": round(os.getloadavg()[0], 2),
        "seconds": round(seconds),
    }
    rows = [row.to_json() for row in figures.rows]
    measured = {row["group"] for row in rows}
    if results.exists():
        rows += [row for row in json.loads(results.read_text())["figures"] if row["group"] not in measured]
    results.write_text(json.dumps({"machine": machine, "figures": rows}, indent=2, ensure_ascii=False) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
