"""Limits that follow from the memory there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.runtime.memory_plan import allowed_bytes, fitted
from ingest.ingest_settings import LimitSettings

GIBIBYTE = 1 << 30


def machine(root: Path, group: str, *limits: tuple[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal:       16777216 kB\nMemFree: 1 kB\n")
    (root / "proc/self/cgroup").write_text(group)
    for name, limit in limits:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(limit + "\n")
    return root


def test_the_tightest_limit_of_all_groups_counts(tmp_path: Path) -> None:
    two = machine(
        tmp_path / "two",
        "0::/system.slice/driftline.service\n",
        ("sys/fs/cgroup/system.slice/driftline.service/memory.max", "max"),
        ("sys/fs/cgroup/system.slice/memory.max", str(4 * GIBIBYTE)),
    )
    assert allowed_bytes(two) == 4 * GIBIBYTE
    one = machine(
        tmp_path / "one",
        "4:memory:/docker/a\n0::/\n",
        ("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", str(GIBIBYTE)),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712"),
    )
    assert allowed_bytes(one) == GIBIBYTE
    assert allowed_bytes(machine(tmp_path / "none", "0::/\n")) == 16 * GIBIBYTE
    assert allowed_bytes(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("allowed", "scored", "series"),
    [(GIBIBYTE, 4_096, 78_643), (4 * GIBIBYTE, 40_960, 314_572), (64 * GIBIBYTE, 778_240, 1_000_000)],
)
def test_limits_that_are_not_set_follow_from_memory(allowed: int, scored: int, series: int) -> None:
    limits = fitted(LimitSettings(), allowed)
    assert (limits.max_scored_series, limits.max_series) == (scored, series)
    assert limits.max_new_series_an_hour == max(1_000, scored // 8)
    chosen = fitted(LimitSettings(max_scored_series=500_000), allowed)
    assert chosen.max_scored_series == 500_000
    assert chosen.max_series == series
    assert fitted(LimitSettings(), None) == LimitSettings()
