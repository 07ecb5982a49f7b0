"""Faults on purpose: how much of it runs, from which seed, and the table of counts at the end."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_runs import CountsWatch, KillableService

FULL = os.environ.get("DRIFTLINE_FAULTS") == "full"
SEED = int(os.environ.get("DRIFTLINE_FAULTS_SEED", random.SystemRandom().randrange(1 << 32)))
_PROPERTY = "fault"
_SUMS = "sums"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table, also where the tests ran in several processes: a test's properties come with its report."""
    reports = [report for state in ("passed", "failed") for report in terminalreporter.stats.get(state, [])]
    ended = [report for report in terminalreporter.stats.get("", []) if report.when == "teardown"]
    sums = sum(value for report in ended for name, value in report.user_properties if name == _SUMS)
    rows = [
        row for report in reports if report.when == "call" for name, row in report.user_properties if name == _PROPERTY
    ]
    if not rows:
        return
    terminalreporter.section(f"faults and counts (seed {SEED}, {'full' if FULL else 'short'} set)")
    width = max(len(fault) for fault, _ in rows)
    for fault, counts in rows:
        terminalreporter.write_line(f"{fault:<{width}}  {counts}")
    terminalreporter.write_line(f"answers of the API and /metrics whose sum was checked: {sums}, all closed")


@dataclass(frozen=True)
class Extent:
    """How much of a fault is injected: `of(short, full)` chooses."""

    full: bool
    seed: int

    def of(self, short: int, full: int) -> int:
        return full if self.full else short


@pytest.fixture
def wait_until(wait_until: Callable[..., None]) -> Callable[..., None]:
    """As everywhere, with more patience: faults are injected while the machine is busy."""

    def wait(condition: Callable[[], object], *, within: float = 240.0, what: str = "the condition") -> None:
        wait_until(condition, within=max(within, 300.0), what=what)

    return wait


@pytest.fixture
def extent() -> Extent:
    return Extent(FULL, SEED)


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """`report("the fault", delivered=..., lost=0)` adds a line to the table at the end."""

    def add(fault: str, **counts: object) -> None:
        line = ", ".join(f"{name} {value}" for name, value in counts.items())
        record_property(_PROPERTY, (fault, line))

    return add


@pytest.fixture
def service(
    tmp_path: Path, wait_until: Callable[..., None], record_property: Callable[[str, object], None]
) -> Iterator[KillableService]:
    """A service on an empty folder, not yet started or configured; killed at the end where it still runs.

    All the while its counts are read, and the sum in every answer has to close.
    """
    running = KillableService(tmp_path / "service", wait_until)
    with CountsWatch(running) as watch:
        yield running
    record_property(_SUMS, watch.answers)
    if running.alive:
        running.kill()
