"""What every measurement is given: where it writes, how thorough it is, and the configurations that it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figures

CHEAP_TIER = """
[detectors.zscore]
type = "zscore"
[detectors.threshold]
type = "threshold"
lower = -1000.0
upper = 10000.0
[detectors.rate_of_change]
type = "rate_of_change"
limit = 100000.0
[detectors.holt_winters]
type = "holt_winters"
"""
CHEAP_NAMES = ("zscore", "threshold", "rate_of_change", "holt_winters")


@dataclass(frozen=True, slots=True)
class Setting:
    """One run of the benchmarks. `say` tells what is going on."""

    folder: Path
    figures: Figures
    runs: int
    long: bool
    say: Callable[[str], None]

    def fresh(self, name: str) -> Path:
        """A new folder below this run's."""
        number = 0
        while (path := self.folder / f"{name}-{number}").exists():
            number += 1
        path.mkdir(parents=True)
        return path


def configuration(
    port: int, *, qos: int = 0, cheap: bool = True, filters: tuple[str, ...] = ("bench/#",), more: str = ""
) -> str:
    """A `driftline.toml` for the broker on `port`, one route a filter."""
    detectors = ", ".join(f'"{name}"' for name in (CHEAP_NAMES if cheap else ("default",)))
    routes = "".join(f'[[routes]]\nfilter = "{name}"\nqos = {qos}\ndetectors = [{detectors}]\n' for name in filters)
    return f'[broker]\nurl = "mqtt://127.0.0.1:{port}"\n{routes}{CHEAP_TIER if cheap else ""}{more}'
